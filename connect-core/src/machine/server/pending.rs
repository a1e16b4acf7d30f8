// SPDX-License-Identifier: GPL-3.0-or-later
//! What core waits for from the server, on whose behalf, and what has been answered so far.

use connect_ipc::PeerId;
use connect_ipc::pinger::PingResult;
use tripe_admin::{Interval, Words};

use crate::machine::requester::{Requester, ScriptRequest};

/// A command that the server has not answered completely.
#[derive(Clone, Debug)]
pub(in crate::machine) enum Pending {
    /// Nothing depends on it; a failure is logged with these words, which say what failed.
    Routine(&'static str),
    /// `SVCQUERY` for the provider before us.
    Predecessor {
        /// Its version, once told.
        version: Option<String>,
    },
    /// `SVCCLAIM`.
    Claim,
    /// A job for the provider that has our name, to see whether it runs.
    Probe,
    /// `SVCRELEASE` before the end.
    Release,
    /// `LIST` after joining.
    List {
        /// Names so far.
        names: Vec<String>,
    },
    /// `IFNAME`.
    Ifname {
        /// The peer.
        peer: PeerId,
        /// The interface.
        ifname: Option<String>,
    },
    /// `ADDR`.
    Addr {
        /// The peer.
        peer: PeerId,
        /// The words of the address.
        words: Vec<String>,
    },
    /// `ALGS`.
    Algs {
        /// The peer.
        peer: PeerId,
        /// What it is asked for.
        then: AfterAlgs,
        /// Keys and values so far.
        pairs: Vec<(String, String)>,
    },
    /// `PING` or `EPING`.
    Ping {
        /// The peer.
        peer: PeerId,
        /// The ping's number.
        seq: u32,
        /// What the server said of it; `None` until it has.
        end: Option<PingWord>,
    },
    /// `KILL` before an `ADD` of the same name.
    KillBeforeAdd(String),
    /// `ADD`.
    Add(String),
    /// `KILL` that applies a change of the database.
    KillToApply(String),
    /// `KILL` of a peer that is unreachable.
    Kill(String),
    /// `FORCEKX` for a reconnection.
    ForceKx(PeerId),
    /// `GETCHAL` for `passive`.
    GetChallenge {
        /// Who asked.
        requester: Requester,
        /// The peer to be added when the greeting comes.
        peer: String,
        /// How long to wait for it.
        patience: Interval,
        /// The challenge.
        challenge: Option<String>,
    },
    /// `GREET`.
    Greet(String),
    /// A command about a peer whose name is given after `--`.
    AfterDashes(Box<AfterDashes>),
}

/// A command about a peer whose name looks like an option, as it is to be given to a server that
/// takes no options there and so refuses `--`.
#[derive(Clone, Debug)]
pub(in crate::machine) struct AfterDashes {
    /// What depends on the answer.
    pub(super) pending: Pending,
    /// The command.
    pub(super) keyword: &'static str,
    /// The peer's name.
    pub(super) peer: String,
}

impl Pending {
    /// Takes one line of information; `false` if it does not fit the command.
    pub(super) fn take_info(&mut self, mut words: Words<'_>) -> bool {
        match self {
            Pending::Predecessor { version } => {
                for word in words {
                    if let Some(told) = word.strip_prefix("version=") {
                        *version = Some(told.to_owned());
                    }
                }
            }
            Pending::List { names, .. } => match words.next() {
                Some(name) => names.push(name.into_owned()),
                None => return false,
            },
            Pending::Ifname { ifname, .. } => *ifname = words.next().map(Into::into),
            Pending::Addr { words: address, .. } => *address = words.owned(),
            Pending::Algs { pairs, .. } => pairs.extend(words.filter_map(|word| {
                let (key, value) = word.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            })),
            Pending::GetChallenge { challenge, .. } => *challenge = words.next().map(Into::into),
            // The answer of the other provider does not matter, only that there is one.
            Pending::Probe => {}
            Pending::Ping { end, .. } => {
                *end = PingWord::parse(words);
                return end.is_some();
            }
            Pending::Routine(_)
            | Pending::Claim
            | Pending::Release
            | Pending::KillBeforeAdd(_)
            | Pending::Add(_)
            | Pending::KillToApply(_)
            | Pending::Kill(_)
            | Pending::ForceKx(_)
            | Pending::Greet(_)
            | Pending::AfterDashes(_) => return false,
        }
        true
    }

    /// The challenge that it has brought, if any.
    pub(in crate::machine) fn secret(&self) -> Option<&str> {
        match self {
            Pending::GetChallenge { challenge, .. } => challenge.as_deref(),
            _ => None,
        }
    }
}

/// What a peer's algorithms are asked for.
#[derive(Clone, Debug)]
pub(in crate::machine) enum AfterAlgs {
    /// Its `ifdown`, when it is too late to ask: it was there before us.
    Keep,
    /// Its `ifup`: this is the last of the three questions before it.
    Configure {
        /// Whether its `connect` command is to follow.
        connection: bool,
    },
    /// A script that an operator has asked for.
    Script(ScriptRequest),
    /// An `ifup` that applies a change of the database.
    Change(String),
}

/// The longest round trip that is believed, in milliseconds: 49 days.
const LONGEST: f64 = u32::MAX as f64;

/// The word that ends a ping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::machine) enum PingWord {
    /// A reply or a timeout.
    Result(PingResult),
    /// The peer was removed meanwhile.
    PeerDied,
}

impl PingWord {
    /// Reads the line that ends a ping.
    fn parse(mut words: Words<'_>) -> Option<Self> {
        Some(match words.next().as_deref() {
            Some("ping-ok") => {
                // Any decimal that a ping can take is accepted; if it is something else, there was
                // at least a reply.
                let millis = words.next().and_then(|word| word.parse().ok());
                let millis = millis.filter(|m: &f64| (0.0..=LONGEST).contains(m));
                PingWord::Result(PingResult::Reply(millis.unwrap_or(0.0)))
            }
            Some("ping-timeout") => PingWord::Result(PingResult::Timeout),
            Some("ping-peer-died") => PingWord::PeerDied,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_that_no_ping_takes_is_a_reply_without_one() {
        for (line, millis) in [
            ("ping-ok 12.5", 12.5),
            ("ping-ok 0", 0.0),
            ("ping-ok 4294967295", LONGEST),
            ("ping-ok 4294967296", 0.0),
            ("ping-ok 1e308", 0.0),
            ("ping-ok inf", 0.0),
            ("ping-ok NaN", 0.0),
            ("ping-ok -1", 0.0),
            ("ping-ok", 0.0),
        ] {
            let word = PingWord::parse(Words::new(line));
            let expected = PingWord::Result(PingResult::Reply(millis));
            assert_eq!(word, Some(expected), "{line}");
        }
    }
}
