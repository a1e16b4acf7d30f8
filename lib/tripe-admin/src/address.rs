// SPDX-License-Identifier: GPL-3.0-or-later
//! Peer addresses as the server writes them: a family and its words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::token;

/// A peer's network address in the words of the `ADDR` command: `INET HOST PORT`, `INET6 HOST
/// PORT`, or, where the server cannot render it, an error number and a message. The words are kept
/// as they came, since all that is asked of them is to be handed on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    words: Vec<String>,
}

impl Address {
    /// Takes the words as they stand; `None` if there are none.
    #[must_use]
    pub fn from_words(words: Vec<String>) -> Option<Self> {
        (!words.is_empty()).then_some(Address { words })
    }

    /// The words, the family first. Never empty.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The socket address, if this is a numeric `INET` or `INET6` address.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let [family, host, port] = self.words.as_slice() else {
            return None;
        };
        let ip: IpAddr = host.parse().ok()?;
        let known = (family.eq_ignore_ascii_case("INET") && ip.is_ipv4())
            || (family.eq_ignore_ascii_case("INET6") && ip.is_ipv6());
        known.then_some(SocketAddr::new(ip, port.parse().ok()?))
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        let family = if addr.is_ipv4() { "INET" } else { "INET6" };
        Address {
            words: vec![
                family.into(),
                addr.ip().to_string(),
                addr.port().to_string(),
            ],
        }
    }
}

impl fmt::Display for Address {
    /// The words as one line, quoted as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&token::join(&self.words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_go_both_ways() {
        for text in ["192.0.2.1:4070", "[2001:db8::1]:4070"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(addr).socket_addr(), Some(addr));
        }
        assert_eq!(
            Address::from("192.0.2.1:4070".parse::<SocketAddr>().unwrap()).to_string(),
            "INET 192.0.2.1 4070"
        );
    }

    #[test]
    fn what_is_no_address_is_kept_but_gives_no_socket_address() {
        for line in [
            "E-2 'no name'",
            "INET 2001:db8::1 4070",
            "INET 192.0.2.1",
            "INET 192.0.2.1 x",
        ] {
            let address = Address::from_words(token::split(line)).unwrap();
            assert_eq!(address.socket_addr(), None, "{line}");
        }
        assert_eq!(Address::from_words(Vec::new()), None);
    }
}
