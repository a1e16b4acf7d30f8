// SPDX-License-Identifier: GPL-3.0-or-later
//! Datagrams that arrive: whose they are and what they ask for (tripe-admin.md, 6.6 to 6.9).

use std::net::SocketAddr;

use super::Server;
use super::peer::PeerKey;
use super::ping::PingKind;
use crate::datagram::{Datagram, DatagramError};

impl Server {
    pub(super) fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.config.faults.net.paused || self.silent.contains(&from) {
            return;
        }
        let datagram = Datagram::decode(bytes);
        // These need no peer to be known.
        match &datagram {
            Ok(Datagram::Greet(challenge)) => return self.greeting(from, challenge),
            Ok(Datagram::TokenRequest(name)) => return self.token_request(from, name),
            Ok(Datagram::Knock(token, number, name)) => {
                return self.knock(from, *token, *number, name);
            }
            _ => {}
        }
        let sender = self.peer_addrs.get(&from).copied();
        let session = datagram.as_ref().ok().and_then(Datagram::session);
        let sender = match session {
            None => sender,
            Some(session) => match self.sender_by_session(sender, from, session) {
                Some(key) => Some(key),
                None if sender.is_some() => return self.undecipherable(sender),
                None => None,
            },
        };
        let Some(key) = sender else {
            let line = self
                .warn_line("PEER")
                .word("-")
                .word("unexpected-source")
                .addr(from);
            return self.warn(line);
        };
        match datagram {
            Ok(datagram) => {
                self.count_received(key, &datagram, bytes.len());
                self.known_packet(key, datagram);
            }
            Err(error) => self.bad_packet(key, error),
        }
    }

    /// Whose packet under `session` from `from` this is: the peer's that lives there, or a mobile
    /// peer's that has moved there.
    fn sender_by_session(
        &mut self,
        resident: Option<PeerKey>,
        from: SocketAddr,
        session: u64,
    ) -> Option<PeerKey> {
        if let Some(key) = resident
            && self.accepts(key, session)
        {
            return Some(key);
        }
        let mobile: Vec<PeerKey> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.options.mobile)
            .map(|(key, _)| *key)
            .collect();
        let key = mobile.into_iter().find(|key| self.accepts(*key, session))?;
        self.move_peer(key, from);
        Some(key)
    }

    fn undecipherable(&mut self, key: Option<PeerKey>) {
        if let Some(key) = key {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.stats.rejected += 1;
            }
            self.peer_warning(key, &["decrypt-failed"]);
        }
    }

    fn bad_packet(&mut self, key: PeerKey, error: DatagramError) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.stats.rejected += 1;
        }
        match error {
            DatagramError::NoType => self.peer_warning(key, &["bad-packet", "no-type"]),
            DatagramError::UnknownCategory(byte) => {
                let byte = format!("0x{byte:02x}");
                self.peer_warning(key, &["bad-packet", "unknown-category", &byte]);
            }
            DatagramError::UnknownType(byte) => {
                let byte = format!("0x{byte:02x}");
                self.peer_warning(key, &["bad-packet", "unknown-type", &byte]);
            }
            DatagramError::Malformed(kind) => {
                self.peer_warning(key, &[&format!("malformed-{kind}")]);
            }
        }
    }

    /// A packet in good order from a peer.
    fn known_packet(&mut self, key: PeerKey, datagram: Datagram) {
        match datagram {
            Datagram::KxRequest(number, tag) => {
                if self.is_impostor(key, &tag) {
                    return;
                }
                return self.kx_request(key, number);
            }
            // A goodbye ends what waits for the peer rather than starting it.
            Datagram::Bye(_) => {
                if self.peers.get(&key).is_some_and(|p| p.options.ephemeral) {
                    self.kill_peer(key, false);
                }
                return;
            }
            _ => self.uncork(key),
        }
        match datagram {
            Datagram::Ping(echo) => self.transmit(key, &Datagram::Pong(echo)),
            Datagram::Pong(echo) => self.pong(key, PingKind::Transport, echo),
            Datagram::EncryptedPing(session, echo) => {
                self.transmit(key, &Datagram::EncryptedPong(session, echo));
            }
            Datagram::EncryptedPong(_, echo) => self.pong(key, PingKind::Encrypted, echo),
            Datagram::KxReply(mine, theirs) => self.kx_reply(key, mine, theirs),
            Datagram::Token(token) => self.token(key, token),
            Datagram::Data(_, data) => self.packet_from_peer(key, data),
            Datagram::Nop
            | Datagram::Greet(_)
            | Datagram::KxRequest(..)
            | Datagram::TokenRequest(_)
            | Datagram::Knock(..)
            | Datagram::Bye(_) => {}
        }
    }

    /// Whether the sender's private key is not the one that the peer's public key belongs to.
    fn is_impostor(&mut self, key: PeerKey, tag: &str) -> bool {
        let Some(peer) = self.peers.get(&key) else {
            return true;
        };
        if !self.config.check_identity || peer.key_tag() == tag {
            return false;
        }
        let line = self
            .warn_line("KX")
            .word(&peer.name)
            .words(["invalid", "challenge"]);
        self.warn(line);
        true
    }
}
