// SPDX-License-Identifier: GPL-3.0-or-later
//! The lab's own packets between lab servers, and the greeting, which is the real one.
//!
//! A greeting is the byte 0x25 and the raw challenge (tripe-admin.md, 3.5). Everything else is
//! a magic number, a byte for the kind, and the fields in network order, a text or bytes last. What
//! the real server encrypts carries a *session* number instead, which only the two ends that
//! exchanged keys know; nothing is secret about it.

/// First byte of a greeting.
const GREET: u8 = 0x25;

/// How the lab's packets begin. The first byte is one the real server knows no category for.
const MAGIC: [u8; 3] = *b"\xf7TL";

/// One packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Datagram {
    /// `greet`: proves that the sender was told a challenge.
    Greet(Vec<u8>),
    /// A packet that only keeps a path open.
    Nop,
    /// Transport-level ping.
    Ping(Echo),
    /// Its answer.
    Pong(Echo),
    /// Ping through the session.
    EncryptedPing(u64, Echo),
    /// Its answer.
    EncryptedPong(u64, Echo),
    /// Key exchange: the sender's number and the tag of its private key.
    KxRequest(u64, String),
    /// Key exchange: the number that is answered, and the sender's own.
    KxReply(u64, u64),
    /// Asks for a token, giving the knock string.
    TokenRequest(String),
    /// The token.
    Token(u64),
    /// A knock: token, the sender's key-exchange number, knock string.
    Knock(u64, u64, String),
    /// A packet through the tunnel.
    Data(u64, Vec<u8>),
    /// Goodbye through the session.
    Bye(u64),
}

/// What a ping carries there and back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Echo {
    /// Which ping it is.
    pub id: u32,
    /// A number nobody else could guess.
    pub cookie: u64,
}

/// Why bytes are no packet. The names are those of the server's warnings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DatagramError {
    /// There are none.
    NoType,
    /// The first byte is of no known category.
    UnknownCategory(u8),
    /// The category is the lab's but the kind is unknown.
    UnknownType(u8),
    /// The fields of a packet of this kind are not all there.
    Malformed(&'static str),
}

mod kind {
    pub(super) const NOP: u8 = 0;
    pub(super) const PING: u8 = 1;
    pub(super) const PONG: u8 = 2;
    pub(super) const EPING: u8 = 3;
    pub(super) const EPONG: u8 = 4;
    pub(super) const KX_REQUEST: u8 = 5;
    pub(super) const KX_REPLY: u8 = 6;
    pub(super) const TOKEN_REQUEST: u8 = 7;
    pub(super) const TOKEN: u8 = 8;
    pub(super) const KNOCK: u8 = 9;
    pub(super) const DATA: u8 = 10;
    pub(super) const BYE: u8 = 11;
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*field))
    }

    fn echo(&mut self) -> Option<Echo> {
        Some(Echo {
            id: self.u32()?,
            cookie: self.u64()?,
        })
    }

    /// All that is left, as text.
    fn text(&mut self) -> String {
        crate::text::decode(std::mem::take(&mut self.0)).into_owned()
    }

    fn bytes(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl Datagram {
    /// Whether the real server would have encrypted it, and with which session.
    #[must_use]
    pub const fn session(&self) -> Option<u64> {
        match self {
            Datagram::EncryptedPing(session, _)
            | Datagram::EncryptedPong(session, _)
            | Datagram::Data(session, _)
            | Datagram::Bye(session) => Some(*session),
            _ => None,
        }
    }

    /// Whether it belongs to key exchange, for the statistics.
    #[must_use]
    pub const fn is_key_exchange(&self) -> bool {
        matches!(
            self,
            Datagram::KxRequest(..)
                | Datagram::KxReply(..)
                | Datagram::TokenRequest(_)
                | Datagram::Token(_)
                | Datagram::Knock(..)
        )
    }

    /// A short name for logs and warnings.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Datagram::Greet(_) => "greet",
            Datagram::Nop => "nop",
            Datagram::Ping(_) => "transport-ping",
            Datagram::Pong(_) => "transport-pong",
            Datagram::EncryptedPing(..) => "encrypted-ping",
            Datagram::EncryptedPong(..) => "encrypted-pong",
            Datagram::KxRequest(..) => "kx-request",
            Datagram::KxReply(..) => "kx-reply",
            Datagram::TokenRequest(_) => "token-rq",
            Datagram::Token(_) => "token",
            Datagram::Knock(..) => "knock",
            Datagram::Data(..) => "data",
            Datagram::Bye(_) => "bye",
        }
    }

    /// How many bytes [`Datagram::encode`] gives for a packet of fixed length; for others, how many
    /// at least. Packets that are never really sent are counted with this.
    #[must_use]
    pub const fn size(&self) -> usize {
        MAGIC.len()
            + 1
            + match self {
                Datagram::Ping(_) | Datagram::Pong(_) => 12,
                Datagram::EncryptedPing(..) | Datagram::EncryptedPong(..) => 20,
                Datagram::KxReply(..) | Datagram::Knock(..) => 16,
                Datagram::KxRequest(..)
                | Datagram::Token(_)
                | Datagram::Data(..)
                | Datagram::Bye(_) => 8,
                Datagram::Nop | Datagram::Greet(_) | Datagram::TokenRequest(_) => 0,
            }
    }

    /// The packet as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let start = |kind: u8| {
            let mut bytes = Vec::with_capacity(32);
            bytes.extend_from_slice(&MAGIC);
            bytes.push(kind);
            bytes
        };
        let echo = |mut bytes: Vec<u8>, echo: &Echo| {
            bytes.extend_from_slice(&echo.id.to_be_bytes());
            bytes.extend_from_slice(&echo.cookie.to_be_bytes());
            bytes
        };
        let number = |mut bytes: Vec<u8>, number: u64| {
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes
        };
        let text = |mut bytes: Vec<u8>, text: &str| {
            crate::text::encode(text, &mut bytes);
            bytes
        };
        match self {
            Datagram::Greet(challenge) => {
                let mut bytes = vec![GREET];
                bytes.extend_from_slice(challenge);
                bytes
            }
            Datagram::Nop => start(kind::NOP),
            Datagram::Ping(e) => echo(start(kind::PING), e),
            Datagram::Pong(e) => echo(start(kind::PONG), e),
            Datagram::EncryptedPing(s, e) => echo(number(start(kind::EPING), *s), e),
            Datagram::EncryptedPong(s, e) => echo(number(start(kind::EPONG), *s), e),
            Datagram::KxRequest(n, tag) => text(number(start(kind::KX_REQUEST), *n), tag),
            Datagram::KxReply(n, own) => number(number(start(kind::KX_REPLY), *n), *own),
            Datagram::TokenRequest(name) => text(start(kind::TOKEN_REQUEST), name),
            Datagram::Token(token) => number(start(kind::TOKEN), *token),
            Datagram::Knock(token, n, name) => {
                text(number(number(start(kind::KNOCK), *token), *n), name)
            }
            Datagram::Data(s, data) => {
                let mut bytes = number(start(kind::DATA), *s);
                bytes.extend_from_slice(data);
                bytes
            }
            Datagram::Bye(s) => number(start(kind::BYE), *s),
        }
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// Says in the server's terms what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DatagramError> {
        let Some(first) = bytes.first() else {
            return Err(DatagramError::NoType);
        };
        if *first == GREET {
            return Ok(Datagram::Greet(bytes[1..].to_vec()));
        }
        let Some(rest) = bytes.strip_prefix(&MAGIC) else {
            return Err(DatagramError::UnknownCategory(*first));
        };
        let Some((kind, fields)) = rest.split_first() else {
            return Err(DatagramError::NoType);
        };
        let mut fields = Fields(fields);
        let f = &mut fields;
        let (name, datagram) = match *kind {
            kind::NOP => ("nop", Some(Datagram::Nop)),
            kind::PING => ("transport-ping", f.echo().map(Datagram::Ping)),
            kind::PONG => ("transport-ping", f.echo().map(Datagram::Pong)),
            kind::EPING => ("encrypted-ping", Self::session_echo(f, Self::EncryptedPing)),
            kind::EPONG => ("encrypted-ping", Self::session_echo(f, Self::EncryptedPong)),
            kind::KX_REQUEST => (
                "kx-request",
                f.u64().map(|n| Datagram::KxRequest(n, f.text())),
            ),
            kind::KX_REPLY => (
                "kx-reply",
                f.u64()
                    .zip(f.u64())
                    .map(|(n, own)| Datagram::KxReply(n, own)),
            ),
            kind::TOKEN_REQUEST => ("token-rq", Some(Datagram::TokenRequest(f.text()))),
            kind::TOKEN => ("token", f.u64().map(Datagram::Token)),
            kind::KNOCK => (
                "knock",
                f.u64()
                    .zip(f.u64())
                    .map(|(token, n)| Datagram::Knock(token, n, f.text())),
            ),
            kind::DATA => (
                "data",
                f.u64().map(|s| Datagram::Data(s, f.bytes().to_vec())),
            ),
            kind::BYE => ("bye", f.u64().map(Datagram::Bye)),
            other => return Err(DatagramError::UnknownType(other)),
        };
        match datagram {
            Some(datagram) if fields.0.is_empty() => Ok(datagram),
            _ => Err(DatagramError::Malformed(name)),
        }
    }

    fn session_echo(fields: &mut Fields<'_>, make: fn(u64, Echo) -> Self) -> Option<Self> {
        Some(make(fields.u64()?, fields.echo()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datagrams() -> impl Strategy<Value = Datagram> {
        let echo = (any::<u32>(), any::<u64>()).prop_map(|(id, cookie)| Echo { id, cookie });
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            bytes.clone().prop_map(Datagram::Greet),
            Just(Datagram::Nop),
            echo.clone().prop_map(Datagram::Ping),
            echo.clone().prop_map(Datagram::Pong),
            (any::<u64>(), echo.clone()).prop_map(|(s, e)| Datagram::EncryptedPing(s, e)),
            (any::<u64>(), echo).prop_map(|(s, e)| Datagram::EncryptedPong(s, e)),
            (any::<u64>(), ".{0,20}").prop_map(|(n, tag)| Datagram::KxRequest(n, tag)),
            (any::<u64>(), any::<u64>()).prop_map(|(n, own)| Datagram::KxReply(n, own)),
            ".{0,20}".prop_map(Datagram::TokenRequest),
            any::<u64>().prop_map(Datagram::Token),
            (any::<u64>(), any::<u64>(), ".{0,20}").prop_map(|(t, n, s)| Datagram::Knock(t, n, s)),
            (any::<u64>(), bytes).prop_map(|(s, data)| Datagram::Data(s, data)),
            any::<u64>().prop_map(Datagram::Bye),
        ]
    }

    #[test]
    fn a_greeting_is_the_real_one() {
        assert_eq!(Datagram::Greet(vec![1, 2]).encode(), [0x25, 1, 2]);
    }

    #[test]
    fn odd_bytes_are_named_as_the_server_does() {
        for (bytes, error) in [
            (&b""[..], DatagramError::NoType),
            (b"\xf7TL", DatagramError::NoType),
            (b"\x99", DatagramError::UnknownCategory(0x99)),
            (b"\xf7TL\xee", DatagramError::UnknownType(0xee)),
            (b"\xf7TL\x01abc", DatagramError::Malformed("transport-ping")),
            (b"\xf7TL\x00x", DatagramError::Malformed("nop")),
        ] {
            assert_eq!(Datagram::decode(bytes), Err(error));
        }
    }

    proptest! {
        #[test]
        fn every_packet_survives(datagram in datagrams()) {
            prop_assert_eq!(Datagram::decode(&datagram.encode()), Ok(datagram));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Datagram::decode(&bytes);
            let mut ours = b"\xf7TL".to_vec();
            ours.extend_from_slice(&bytes);
            let _ = Datagram::decode(&ours);
        }
    }
}
