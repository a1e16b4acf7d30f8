// SPDX-License-Identifier: GPL-3.0-or-later
//! The server's notifications as typed values (tripe-admin.md, 4.1).

use crate::address::Address;
use crate::token::Words;

/// One `NOTE` broadcast.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// A peer was added.
    Add {
        /// The peer's name.
        peer: String,
        /// Its network interface.
        ifname: String,
        /// Its address.
        address: Address,
    },
    /// A peer was removed, by command, by its own goodbye, or because the server stops.
    Kill {
        /// The peer's name.
        peer: String,
    },
    /// A greeting with a valid challenge came in.
    Greet {
        /// The challenge, spelt as the server issued it.
        challenge: String,
        /// Where the greeting came from.
        address: Address,
    },
    /// A peer that the server does not know proved its key and asks to be added.
    Knock {
        /// The whole knock string, `[PREFIX.]TAG`.
        name: String,
        /// Where the knock came from.
        address: Address,
    },
    /// Key exchange began or restarted.
    KxStart {
        /// The peer's name.
        peer: String,
    },
    /// Key exchange finished; traffic can flow.
    KxDone {
        /// The peer's name.
        peer: String,
    },
    /// A peer's address changed.
    NewAddr {
        /// The peer's name.
        peer: String,
        /// Its new address.
        address: Address,
    },
    /// A peer's interface was renamed.
    NewIfname {
        /// The peer's name.
        peer: String,
        /// The name until now.
        old: String,
        /// The name from now on.
        new: String,
    },
    /// A service was claimed.
    SvcClaim {
        /// The service's name.
        service: String,
        /// The provider's version.
        version: String,
    },
    /// A service was given up, or its provider went away.
    SvcRelease {
        /// The service's name.
        service: String,
    },
    /// The server became a daemon.
    Daemon,
    /// A client spoke through `NOTIFY`.
    User(Vec<String>),
    /// A note of another kind, or one that lacks words it needs.
    Other(Vec<String>),
}

impl Note {
    /// Reads the words after `NOTE`. Never fails: what makes no sense is [`Note::Other`].
    #[must_use]
    pub fn from_words(words: Words<'_>) -> Self {
        let words = words.owned();
        Self::known(&words).unwrap_or(Note::Other(words))
    }

    fn known(words: &[String]) -> Option<Self> {
        let (kind, rest) = words.split_first()?;
        let word = |at: usize| rest.get(at).cloned();
        let address = |from: usize| Address::from_words(rest.get(from..)?.to_vec());
        Some(match kind.as_str() {
            "ADD" => Note::Add {
                peer: word(0)?,
                ifname: word(1)?,
                address: address(2)?,
            },
            "KILL" => Note::Kill { peer: word(0)? },
            "GREET" => Note::Greet {
                challenge: word(0)?,
                address: address(1)?,
            },
            "KNOCK" => Note::Knock {
                name: word(0)?,
                address: address(1)?,
            },
            "KXSTART" => Note::KxStart { peer: word(0)? },
            "KXDONE" => Note::KxDone { peer: word(0)? },
            "NEWADDR" => Note::NewAddr {
                peer: word(0)?,
                address: address(1)?,
            },
            "NEWIFNAME" => Note::NewIfname {
                peer: word(0)?,
                old: word(1)?,
                new: word(2)?,
            },
            "SVCCLAIM" => Note::SvcClaim {
                service: word(0)?,
                version: word(1)?,
            },
            "SVCRELEASE" => Note::SvcRelease { service: word(0)? },
            "DAEMON" => Note::Daemon,
            "USER" => Note::User(rest.to_vec()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(line: &str) -> Note {
        Note::from_words(Words::new(line))
    }

    #[test]
    fn every_note_of_section_4_1_is_read() {
        let address = || Address::from("192.0.2.1:4070".parse::<std::net::SocketAddr>().unwrap());
        let peer = || "alice".to_owned();
        let table = [
            (
                "ADD alice tripe0 INET 192.0.2.1 4070",
                Note::Add {
                    peer: peer(),
                    ifname: "tripe0".into(),
                    address: address(),
                },
            ),
            ("DAEMON", Note::Daemon),
            (
                "GREET AAAA INET 192.0.2.1 4070",
                Note::Greet {
                    challenge: "AAAA".into(),
                    address: address(),
                },
            ),
            ("KILL alice", Note::Kill { peer: peer() }),
            (
                "KNOCK gw.home INET 192.0.2.1 4070",
                Note::Knock {
                    name: "gw.home".into(),
                    address: address(),
                },
            ),
            ("KXDONE alice", Note::KxDone { peer: peer() }),
            ("KXSTART alice", Note::KxStart { peer: peer() }),
            (
                "NEWADDR alice INET 192.0.2.1 4070",
                Note::NewAddr {
                    peer: peer(),
                    address: address(),
                },
            ),
            (
                "NEWIFNAME alice tripe0 vpn-alice",
                Note::NewIfname {
                    peer: peer(),
                    old: "tripe0".into(),
                    new: "vpn-alice".into(),
                },
            ),
            (
                "SVCCLAIM connect 1.5.0",
                Note::SvcClaim {
                    service: "connect".into(),
                    version: "1.5.0".into(),
                },
            ),
            (
                "SVCRELEASE connect",
                Note::SvcRelease {
                    service: "connect".into(),
                },
            ),
            (
                "USER connect peerdb-update",
                Note::User(vec!["connect".into(), "peerdb-update".into()]),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(note(line), expected, "{line}");
        }
    }

    #[test]
    fn unknown_and_short_notes_are_kept_as_words() {
        for line in [
            "",
            "ADD alice",
            "ADD alice tripe0",
            "KILL",
            "NEWIFNAME a b",
            "FUTURE x y",
        ] {
            assert_eq!(note(line), Note::Other(crate::split(line)), "{line}");
        }
    }
}
