// SPDX-License-Identifier: GPL-3.0-or-later
//! What happens in the service, as core sends it to operators and observers.

use serde::{Deserialize, Serialize};

use crate::changes::ChangeCounts;
use crate::hello::Role;
use crate::knock::KnockRefusal;
use crate::overdue::OverdueCause;
use crate::scripts::{Ended, ScriptKind, Stream};
use crate::setup::Lane;

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// From 1 on while core runs. Replies are numbered only while a client asks for them.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The peer concerned, if one is.
    pub peer: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum EventKind {
    /// The server has a new peer.
    Added {
        /// Its address in the server's words.
        address: String,
        /// Its interface.
        interface: String,
    },
    /// The server no longer has a peer.
    Removed(Removal),
    /// A peer that had answered, and was gone, is at the server again.
    Back {
        /// Seconds for which it was gone.
        away: u64,
    },
    /// The peer is up: it answers, and was not up before.
    Up {
        /// Why.
        reason: UpReason,
    },
    /// The peer, which was up, is not up any more.
    Down {
        /// Why.
        reason: DownReason,
    },
    /// The peer is watched from now on.
    Adopted {},
    /// The peer is no longer watched.
    Disowned {},
    /// Keys were agreed with the peer.
    Keys {},
    /// The peer's address has changed.
    Moved {
        /// The new one.
        address: String,
    },
    /// The host name of a peer that does not answer has another address now, and the peer is added
    /// again there.
    NewAddress {
        /// The address that the server has, in its words.
        from: String,
        /// The new one.
        to: String,
    },
    /// The host name of a peer that does not answer cannot be looked up. Sent once, until a lookup
    /// succeeds.
    LookupFailed {
        /// The name.
        host: String,
        /// Why.
        error: String,
    },
    /// A ping was answered.
    Reply {
        /// After this many milliseconds.
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
    /// A reply came after failed attempts.
    Recovered {
        /// Failed attempts of the check that the reply ended; 0 if the check before had failed and
        /// this is the first ping of the next.
        failures: u32,
    },
    /// A whole check failed.
    Unreachable {
        /// Checks that failed in a row.
        failed_checks: u32,
        /// Milliseconds until the next check; `None` if there will be none, because the peer is
        /// removed.
        next_ms: Option<u64>,
    },
    /// The peer is being reconnected.
    Reconnecting {},
    /// Somebody knocked.
    Knock {
        /// From this address.
        address: String,
        /// Why it was refused; left out if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<KnockRefusal>,
    },
    /// A script was started.
    Started {
        /// Which.
        script: ScriptKind,
        /// Its process number.
        pid: i32,
    },
    /// A script wrote a line, which is complete here.
    Output {
        /// Which script.
        script: ScriptKind,
        /// Where.
        stream: Stream,
        /// The line.
        line: String,
    },
    /// A script that had to end was sent `KILL`, and still runs.
    Survives {
        /// Which.
        script: ScriptKind,
        /// Its process number.
        pid: Option<i32>,
    },
    /// A script has ended.
    Ended {
        /// Which.
        script: ScriptKind,
        /// How.
        end: Ended,
    },
    /// The database was loaded.
    Database {
        /// How many peers it holds.
        peers: u64,
        /// How many peers differ from it.
        #[serde(default)]
        waiting: ChangeCounts,
    },
    /// The database file cannot be used.
    DatabaseFault {
        /// Why not.
        fault: String,
    },
    /// The service joined the server.
    Joined {},
    /// The connection to the server is lost.
    Lost {},
    /// A helper has connected.
    HelperConnected {
        /// Which: `pinger` or `ifscripts`.
        helper: Role,
        /// Its process number, if the system tells it.
        pid: Option<i32>,
    },
    /// The connection of a helper has ended.
    HelperDisconnected {
        /// Which: `pinger` or `ifscripts`.
        helper: Role,
    },
    /// Checks or answers are overdue, so the state of some peers is not known.
    ChecksOverdue {
        /// Why.
        cause: OverdueCause,
        /// Seconds since the oldest of them was due.
        seconds: u64,
    },
    /// No check and no answer is overdue any more.
    ChecksResumed {
        /// Seconds since the oldest of them was due.
        seconds: u64,
    },
    /// The script helper does not answer, so perhaps no scripts run.
    ScriptsOverdue {
        /// Seconds since its oldest word was due.
        seconds: u64,
    },
    /// The script helper answers again.
    ScriptsResumed {
        /// Seconds since its oldest word was due.
        seconds: u64,
    },
    /// The state file cannot be written.
    StateFault {
        /// Why not.
        fault: String,
    },
    /// The state file can be written again.
    StateSaved {
        /// Seconds for which it could not.
        seconds: u64,
    },
    /// The journal of runs cannot be written, or not all of it could be read.
    JournalFault {
        /// Why.
        fault: String,
    },
    /// The journal of runs is in order again.
    JournalKept {
        /// Seconds for which it was not.
        seconds: u64,
    },
    /// Scripts of a lane have waited for a place for long, because as many as are allowed are under
    /// way.
    PlacesFull {
        /// Which lane.
        lane: Lane,
        /// Seconds for which others have waited.
        seconds: u64,
    },
    /// No script of the lane waits for a place any more.
    PlacesFree {
        /// Which lane.
        lane: Lane,
        /// Seconds for which others have waited.
        seconds: u64,
    },
    /// Somebody gave a command.
    Command {
        /// Its words.
        words: Vec<String>,
        /// By whom: `server` for a job of the server, or a user and process, such as `uid 0 pid
        /// 123`.
        by: String,
    },
}

/// Why the server no longer has a peer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Removal {
    /// Core has removed it because it did not answer.
    Silence {
        /// How many pings in a row had no reply.
        pings: u32,
    },
    /// Somebody has removed it, or the peer has ended the connection itself, or the server was
    /// stopped.
    Command,
    /// The other host has ended the connection, or somebody has removed it: nobody can tell. It is
    /// of the start-up list and watched, so it should come back.
    Left,
    /// Core has removed it to add it again.
    Replaced,
    /// The server was started again without it.
    Server,
    /// Nobody knows: it was removed while the service did not run, or was not connected.
    Unseen,
}

/// Why a peer is up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UpReason {
    /// It has answered for the first time since it was added, or found.
    FirstReply,
    /// It answers again after it was unreachable.
    Recovered,
}

impl UpReason {
    /// All reasons.
    pub const ALL: [UpReason; 2] = [UpReason::FirstReply, UpReason::Recovered];

    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            UpReason::FirstReply => "first-reply",
            UpReason::Recovered => "recovered",
        }
    }
}

/// Why a peer is not up any more.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DownReason {
    /// It did not answer any attempt of a check.
    Unreachable,
    /// The service has removed it because it did not answer.
    Silence,
    /// Somebody has removed it, or the peer has ended the connection itself, or the server was
    /// stopped.
    Command,
    /// The other host has ended the connection, or somebody has removed it: nobody can tell. It
    /// should come back.
    Left,
    /// The service has removed it to add it again.
    Replaced,
    /// The server was started again without it.
    Server,
    /// It was removed, or made again, while the service did not run or was not connected.
    Unseen,
}

impl DownReason {
    /// All reasons.
    pub const ALL: [DownReason; 7] = [
        DownReason::Unreachable,
        DownReason::Silence,
        DownReason::Command,
        DownReason::Left,
        DownReason::Replaced,
        DownReason::Server,
        DownReason::Unseen,
    ];

    /// The word for it, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DownReason::Unreachable => "unreachable",
            DownReason::Silence => "silence",
            DownReason::Command => "command",
            DownReason::Left => "left",
            DownReason::Replaced => "replaced",
            DownReason::Server => "server",
            DownReason::Unseen => "unseen",
        }
    }
}

impl From<Removal> for DownReason {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Silence { .. } => DownReason::Silence,
            Removal::Command => DownReason::Command,
            Removal::Left => DownReason::Left,
            Removal::Replaced => DownReason::Replaced,
            Removal::Server => DownReason::Server,
            Removal::Unseen => DownReason::Unseen,
        }
    }
}

/// Makes, from one list, the type with the names of the kinds of events, and the name of each kind.
/// The compiler checks the list against [`EventKind`].
macro_rules! event_names {
    ($($variant:ident = $name:literal,)*) => {
        /// What a kind of event is called.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[expect(missing_docs, reason = "EventKind has a sentence for each")]
        pub enum EventName {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl EventName {
            /// Every name, in the order of [`EventKind`].
            pub const ALL: &[EventName] = &[$(EventName::$variant),*];

            /// The name, as in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(EventName::$variant => $name,)*
                }
            }
        }

        impl EventKind {
            /// What this kind is called.
            #[must_use]
            pub const fn name(&self) -> EventName {
                match self {
                    $(EventKind::$variant { .. } => EventName::$variant,)*
                }
            }
        }
    };
}

event_names! {
    Added = "added",
    Removed = "removed",
    Back = "back",
    Up = "up",
    Down = "down",
    Adopted = "adopted",
    Disowned = "disowned",
    Keys = "keys",
    Moved = "moved",
    NewAddress = "new-address",
    LookupFailed = "lookup-failed",
    Reply = "reply",
    Missed = "missed",
    Failed = "failed",
    Recovered = "recovered",
    Unreachable = "unreachable",
    Reconnecting = "reconnecting",
    Knock = "knock",
    Started = "started",
    Output = "output",
    Survives = "survives",
    Ended = "ended",
    Database = "database",
    DatabaseFault = "database-fault",
    Joined = "joined",
    Lost = "lost",
    HelperConnected = "helper-connected",
    HelperDisconnected = "helper-disconnected",
    ChecksOverdue = "checks-overdue",
    ChecksResumed = "checks-resumed",
    ScriptsOverdue = "scripts-overdue",
    ScriptsResumed = "scripts-resumed",
    StateFault = "state-fault",
    StateSaved = "state-saved",
    JournalFault = "journal-fault",
    JournalKept = "journal-kept",
    PlacesFull = "places-full",
    PlacesFree = "places-free",
    Command = "command",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for name in EventName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        let fault = EventKind::DatabaseFault {
            fault: String::new(),
        };
        for kind in [
            EventKind::Removed(Removal::Command),
            EventKind::Reply { millis: 1.0 },
            fault,
        ] {
            let value = serde_json::to_value(&kind).unwrap();
            assert!(value.get(kind.name().as_str()).is_some(), "{value}");
        }
    }

    #[test]
    fn words_are_those_of_json() {
        for reason in UpReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for reason in DownReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    /// Every kind of event has its name in JSON: serde lists those that it knows.
    #[test]
    fn every_kind_has_a_name() {
        let error = serde_json::from_str::<EventKind>("{\"none\":{}}").unwrap_err();
        let names: Vec<String> = EventName::ALL
            .iter()
            .map(|name| format!("`{}`", name.as_str()))
            .collect();
        let known = format!("expected one of {} at", names.join(", "));
        assert!(error.to_string().contains(&known), "{error}");
    }
}
