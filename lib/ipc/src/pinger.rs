// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages between core and connect-pinger.
//!
//! ```text
//! pinger -> core   hello, resume...        what it remembers of an earlier core
//! core -> pinger   hello, watch, ready     every adopted peer, then the start signal
//! pinger -> core   ping                    send these pings, each when it is due
//! core -> pinger   results                 how they ended
//! ```

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::PeerId;
use crate::clock::Monotonic;
use crate::hello::{Role, ToHelper};
use crate::statistics::PingStatistics;

/// When a peer is pinged, and when it counts as unreachable (connect(8), "PINGING").
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PingPlan {
    /// Seconds between checks of a live peer.
    pub every: u32,
    /// Seconds to wait for a reply.
    pub timeout: u32,
    /// Attempts before the peer is declared unreachable, at least 1.
    pub retries: u32,
    /// Seconds from a failed check to the next, the first time in a row.
    pub backoff: u32,
    /// Seconds that this pause may grow to.
    pub backoff_max: u32,
}

/// The state of a peer's checks. Only `connect_liveness` changes it, by the methods of `Liveness`
/// and by `CatchUp::apply`. Fields that have the value for a peer that replies are not written,
/// since at a start and at a restart all peers are sent at once.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PingPhase {
    /// When the next ping is due; if one is under way, when that one was due.
    pub due: Monotonic,
    /// The ping that is under way: it was ordered, and its result is not known yet.
    #[serde(skip_serializing_if = "is_default")]
    pub in_flight: Option<u32>,
    /// The number of the last ping asked for, so that a number is never used twice.
    #[serde(skip_serializing_if = "is_default")]
    pub last_seq: u32,
    /// Failed attempts of the check in progress, or of the last one.
    #[serde(skip_serializing_if = "is_default")]
    pub failures: u32,
    /// Whether a check is in progress, with a ping under way or a pause before another attempt.
    #[serde(skip_serializing_if = "is_default")]
    pub checking: bool,
    /// Checks that failed in a row.
    #[serde(skip_serializing_if = "is_default")]
    pub failed_checks: u32,
    /// Whether replies are ignored, for tests (command `sabotage`).
    #[serde(skip_serializing_if = "is_default")]
    pub sabotaged: bool,
}

/// One peer to be watched.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Watched {
    /// Its number in every further message.
    pub peer: PeerId,
    /// Its name, for the log and for a later [`FromPinger::Resume`].
    pub name: String,
    /// How to ping it.
    pub plan: PingPlan,
    /// The state of its checks; `None` for a peer that is already watched and of which only the
    /// plan has changed.
    pub phase: Option<PingPhase>,
    /// Statistics so far.
    #[serde(default, skip_serializing_if = "is_default")]
    pub statistics: PingStatistics,
}

/// Whether a field has its default, so that it can be left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How a ping ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PingResult {
    /// A reply after this many milliseconds.
    Reply(f64),
    /// No reply in time.
    Timeout,
    /// The server could not send it.
    Failed,
    /// It says nothing about the peer: the server, core or the host was suspended meanwhile.
    Void,
}

/// The end of one ping. Written as an array of its fields, since there is one for each ping, and
/// a reply as the milliseconds that it took; read as an object as well.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub struct EndedPing {
    /// Which peer.
    pub peer: PeerId,
    /// Which ping.
    pub seq: u32,
    /// How it ended.
    #[serde(deserialize_with = "result_or_millis")]
    pub result: PingResult,
}

impl Serialize for EndedPing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (peer, seq) = (self.peer, self.seq);
        match self.result {
            PingResult::Reply(millis) => (peer, seq, millis).serialize(serializer),
            result => (peer, seq, result).serialize(serializer),
        }
    }
}

/// Reads a result; a number is a reply after so many milliseconds.
fn result_or_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PingResult, D::Error> {
    struct ResultOrMillis;

    impl<'de> Visitor<'de> for ResultOrMillis {
        type Value = PingResult;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("milliseconds, or another result of a ping")
        }

        fn visit_f64<E: de::Error>(self, millis: f64) -> Result<PingResult, E> {
            Ok(PingResult::Reply(millis))
        }

        fn visit_u64<E: de::Error>(self, millis: u64) -> Result<PingResult, E> {
            let millis = u32::try_from(millis)
                .map_err(|_| E::invalid_value(Unexpected::Unsigned(millis), &self))?;
            self.visit_f64(f64::from(millis))
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<PingResult, E> {
            PingResult::deserialize(word.into_deserializer())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PingResult, A::Error> {
            PingResult::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(ResultOrMillis)
}

/// From core to the pinger. `at` is when core has done the same to its own copies: if the pinger
/// did not run for a time, it hears of it later, and both must come to the same deadlines.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToPinger {
    /// Watch these peers, or change their plans.
    Watch {
        /// When.
        at: Monotonic,
        /// The peers.
        peers: Vec<Watched>,
    },
    /// All peers have been named; begin. Peers of an earlier core that were not named no longer
    /// exist.
    Ready {},
    /// Stop watching these peers.
    Forget(Vec<PeerId>),
    /// Pings have ended.
    Results {
        /// When the last of them did.
        at: Monotonic,
        /// These.
        ended: Vec<EndedPing>,
    },
    /// Check these peers at once: after what happened they may answer again.
    CheckNow {
        /// The present.
        at: Monotonic,
        /// Their numbers.
        peers: Vec<PeerId>,
    },
    /// Ignore the peer's replies until it was declared unreachable, and check it at once.
    Sabotage {
        /// The present.
        at: Monotonic,
        /// Its number.
        peer: PeerId,
    },
    /// The connection to the tripe server is lost, so no ping can be sent; pings under way are
    /// void.
    Suspend {},
    /// The server is back. The pinger answers with [`FromPinger::Proceeding`].
    Proceed {
        /// When core has heard of it.
        at: Monotonic,
    },
    /// The other side sent something malformed.
    Error(String),
}

impl ToHelper for ToPinger {
    const ROLE: Role = Role::Pinger;

    fn error(&self) -> Option<&str> {
        match self {
            ToPinger::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// One ping to be sent when it is due. Written as an array of its fields, since there is one for
/// each ping; read as an object as well.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub struct PingOrder {
    /// Which peer.
    pub peer: PeerId,
    /// The ping's number for this peer.
    pub seq: u32,
    /// When it is due.
    pub due: Monotonic,
}

impl Serialize for PingOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.peer, self.seq, self.due).serialize(serializer)
    }
}

/// What a pinger still knows about a peer when it connects to a new core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remembered {
    /// The peer's name.
    pub name: String,
    /// The state of its checks.
    pub phase: PingPhase,
    /// Statistics so far.
    pub statistics: PingStatistics,
}

/// From the pinger to core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromPinger {
    /// First after the hello: what is known from before, in any number of messages, the last of
    /// them empty.
    Resume(Vec<Remembered>),
    /// Send these pings, each when it is due.
    Ping(Vec<PingOrder>),
    /// The same for pings that are late, so that each is due at an instant of its own.
    Late(Vec<PingOrder>),
    /// The answer to [`ToPinger::Proceed`]: pings ordered before this are void, as are their
    /// results.
    Proceeding {},
    /// This many lines of the pinger's log were lost since it started.
    LogLost(u64),
    /// The other side sent something malformed.
    Error(String),
}

/// How a ping that was requested has ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PingOutcome {
    /// A reply, or none in time.
    pub result: PingResult,
    /// How many seconds a reply may take.
    pub timeout: u32,
}
