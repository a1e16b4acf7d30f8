// SPDX-License-Identifier: GPL-3.0-or-later
//! What happens in the service, as told to operators and observers.

use serde::{Deserialize, Serialize};

use crate::scripts::{Ended, ScriptKind, Stream};

/// Which events are wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct EventFilter {
    /// Only events of these peers, and those of no peer; all peers if empty.
    pub peers: Vec<String>,
    /// Only events of these kinds, by their names in JSON; all but `reply` if empty, since there
    /// is one of that kind for each ping.
    pub kinds: Vec<String>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let peer = match &event.peer {
            Some(peer) if !self.peers.is_empty() => self.peers.contains(peer),
            _ => true,
        };
        let name = event.kind.name();
        let kind = if self.kinds.is_empty() {
            name != "reply"
        } else {
            self.kinds.iter().any(|kind| kind == name)
        };
        peer && kind
    }
}

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Events are numbered without gaps from 1 as long as core lives.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The peer concerned, if one is.
    pub peer: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The server has a new peer.
    Added {
        /// Its address in the server's words.
        address: String,
        /// Its interface.
        interface: String,
    },
    /// The server has lost a peer.
    Removed {},
    /// The peer is watched from now on.
    Adopted {},
    /// The peer is watched no more.
    Disowned {},
    /// Keys were agreed with the peer.
    Keys {},
    /// The peer's address has changed.
    Moved {
        /// The new one.
        address: String,
    },
    /// A ping was answered.
    Reply {
        /// After so many milliseconds.
        millis: f64,
    },
    /// No reply came to a ping.
    Missed {
        /// Which attempt, from 1.
        attempt: u32,
        /// Of how many.
        of: u32,
    },
    /// The server could not send a ping.
    Failed {
        /// What it said.
        error: Vec<String>,
    },
    /// A reply came after so many failed attempts.
    Recovered {
        /// Failed attempts of the last check.
        failures: u32,
    },
    /// A whole check failed.
    Unreachable {
        /// Checks that failed in a row.
        rounds: u32,
        /// Milliseconds until the next.
        next: u64,
    },
    /// The peer is being reconnected.
    Reconnecting {},
    /// Somebody knocked.
    Knock {
        /// From this address.
        address: String,
    },
    /// A script was started.
    Started {
        /// Which.
        script: ScriptKind,
        /// Its process number.
        pid: i32,
    },
    /// A script wrote a line; here it stands whole.
    Output {
        /// Which script.
        script: ScriptKind,
        /// Where.
        stream: Stream,
        /// The line.
        line: String,
    },
    /// A script has ended.
    Ended {
        /// Which.
        script: ScriptKind,
        /// How.
        end: Ended,
    },
    /// The database was taken up.
    Database {
        /// How many peers it holds.
        peers: u64,
    },
    /// The database file cannot be used.
    DatabaseFault {
        /// Why not.
        fault: String,
    },
    /// The service joined the server.
    Joined {},
    /// The server is out of reach.
    Lost {},
    /// A warning or notification of another kind was broadcast.
    Broadcast {
        /// Its words.
        words: Vec<String>,
    },
    /// Somebody gave a command.
    Command {
        /// Its words.
        words: Vec<String>,
        /// Who: a job of the server, or a user's number.
        by: String,
    },
}

impl EventKind {
    /// The kind's name, as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::Added { .. } => "added",
            EventKind::Removed {} => "removed",
            EventKind::Adopted {} => "adopted",
            EventKind::Disowned {} => "disowned",
            EventKind::Keys {} => "keys",
            EventKind::Moved { .. } => "moved",
            EventKind::Reply { .. } => "reply",
            EventKind::Missed { .. } => "missed",
            EventKind::Failed { .. } => "failed",
            EventKind::Recovered { .. } => "recovered",
            EventKind::Unreachable { .. } => "unreachable",
            EventKind::Reconnecting {} => "reconnecting",
            EventKind::Knock { .. } => "knock",
            EventKind::Started { .. } => "started",
            EventKind::Output { .. } => "output",
            EventKind::Ended { .. } => "ended",
            EventKind::Database { .. } => "database",
            EventKind::DatabaseFault { .. } => "database-fault",
            EventKind::Joined {} => "joined",
            EventKind::Lost {} => "lost",
            EventKind::Broadcast { .. } => "broadcast",
            EventKind::Command { .. } => "command",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(peer: Option<&str>, kind: EventKind) -> Event {
        Event {
            seq: 1,
            at: 0,
            peer: peer.map(str::to_owned),
            kind,
        }
    }

    #[test]
    fn names_are_those_of_json() {
        let reply = EventKind::Reply { millis: 1.0 };
        for kind in [
            EventKind::Removed {},
            reply,
            EventKind::DatabaseFault {
                fault: String::new(),
            },
        ] {
            let text = serde_json::to_string(&kind).unwrap();
            assert!(
                text.starts_with(&format!("{{\"{}\":", kind.name())),
                "{text}"
            );
        }
    }

    #[test]
    fn filters_choose_by_peer_and_kind() {
        let all = EventFilter::default();
        assert!(all.wants(&event(Some("a"), EventKind::Removed {})));
        assert!(!all.wants(&event(Some("a"), EventKind::Reply { millis: 1.0 })));
        let some = EventFilter {
            peers: vec!["a".into()],
            kinds: vec!["reply".into(), "lost".into()],
        };
        assert!(some.wants(&event(Some("a"), EventKind::Reply { millis: 1.0 })));
        assert!(!some.wants(&event(Some("b"), EventKind::Reply { millis: 1.0 })));
        assert!(!some.wants(&event(Some("a"), EventKind::Removed {})));
        assert!(some.wants(&event(None, EventKind::Lost {})));
    }
}
