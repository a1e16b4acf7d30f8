// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages between core and its operators.
//!
//! ```text
//! operator -> core   hello, then requests, each with a number of the operator's choice
//! core -> operator   hello, then replies with the request's number, the last one final
//! ```
//!
//! Observers use the same messages on a socket of their own, on which core only accepts requests
//! that change nothing.

use serde::{Deserialize, Serialize};

use crate::changes::{AppliedChange, Changes, RecordPage};
pub use crate::connection_status::ConnectionStatus;
pub use crate::database::{DatabaseOrigin, DatabaseStatus};
use crate::event::Event;
use crate::event_filter::EventFilter;
use crate::knock::RefusedKnock;
use crate::lookup::LookupCounters;
use crate::observers::ObserverCounts;
use crate::overdue::OverdueChecks;
use crate::pinger::PingOutcome;
pub use crate::script_request::{RunProgress, ScriptPlan, WaitsFor};
pub use crate::scripts::RecentScript;
use crate::scripts::{InterfaceScript, ScriptFailure, ScriptKind};
use crate::setup::ByLane;
use crate::statistics::PingStatistics;
use crate::write_fault::WriteFault;

/// The version of what operators see. It increases when a field changes its meaning or is removed,
/// but not for new fields.
pub const SCHEMA: u32 = 1;

/// One request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Envelope {
    /// Chosen by the operator, repeated in each reply.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What an operator may ask.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The service and all its peers: [`Reply::Service`], [`Reply::Peers`]..., [`Reply::Done`].
    Status {},
    /// One peer in full: [`Reply::Peer`].
    Info {
        /// The peer's name.
        peer: String,
    },
    /// A service command, as by `SVCSUBMIT connect`: [`Reply::Line`]..., then [`Reply::Done`] or
    /// [`Reply::Failed`].
    Submit {
        /// Command and arguments, at most [`MAX_WORDS`](crate::words::MAX_WORDS).
        #[serde(deserialize_with = "crate::words::few")]
        words: Vec<String>,
    },
    /// The service and all its peers as for [`Request::Status`], then [`Reply::Live`] in place of
    /// [`Reply::Done`], then every event as it happens: [`Reply::Event`], [`Reply::Dropped`].
    Events(EventFilter),
    /// What happened last: [`Reply::Recent`].
    Recent {},
    /// Check the database file now: [`Reply::Done`] at once. The result is an event, `database` or
    /// `database-fault`.
    Reload {},
    /// Which peers are not as the database in use has them: [`Reply::Changes`].
    Changes {},
    /// Make them so: [`Reply::Applied`] for each, then [`Reply::Done`], or [`Reply::Failed`].
    ApplyChanges {},
    /// Some records of the database in use, sorted by name: [`Reply::Records`].
    Records {
        /// Those after this name.
        after: String,
    },
    /// Run a script of a peer that the server has once more: [`Reply::Run`]..., or
    /// [`Reply::Failed`].
    RunScript {
        /// The peer's name.
        peer: String,
        /// Which script.
        script: InterfaceScript,
    },
    /// Ping a peer now: [`Reply::Pinged`], or [`Reply::Failed`]. The ping is the peer's next check,
    /// made earlier, or a ping that is already under way.
    Ping {
        /// The peer's name.
        peer: String,
    },
    /// What [`Request::RunScript`] would execute: [`Reply::Script`], or [`Reply::Failed`].
    ShowScript {
        /// The peer's name.
        peer: String,
        /// Which script.
        script: InterfaceScript,
    },
}

impl Request {
    /// Whether this changes nothing, so that observers may ask it.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        match self {
            Request::Status {}
            | Request::Info { .. }
            | Request::Events(_)
            | Request::Recent {}
            | Request::Changes {}
            | Request::Records { .. } => true,
            Request::Submit { .. }
            | Request::Reload {}
            | Request::ApplyChanges {}
            | Request::RunScript { .. }
            // It makes a check earlier.
            | Request::Ping { .. }
            // Only operators, who may run the script, need to know what would be run.
            | Request::ShowScript { .. } => false,
        }
    }
}

/// One part of the answer to a request: the whole of it, or for some requests one of several.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The request's number; 0 if the request could not be read.
    pub id: u64,
    /// The reply.
    pub reply: Reply,
}

/// What core may reply.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The state of the service.
    Service(Box<ServiceStatus>),
    /// Some of the peers, sorted by name over all messages.
    Peers(PeerRows),
    /// One peer in full. Final.
    Peer(Box<PeerDetail>),
    /// One line of a service command's answer, in words.
    Line(Vec<String>),
    /// The state is complete, and all events that the request asks for follow. For events before
    /// this, see [`PeerRows`].
    Live {
        /// The number of the last event before.
        seq: u64,
    },
    /// Something happened.
    Event(Event),
    /// The latest events, oldest first, without those of the kinds `reply` and `output`. Final.
    Recent(Vec<Event>),
    /// This many events were left out: not read fast enough, or too many came in a second.
    Dropped {
        /// How many.
        events: u64,
    },
    /// The peers that differ from the database. Final.
    Changes(Box<Changes>),
    /// The result for one of them.
    Applied(AppliedChange),
    /// Some records of the database in use. Final.
    Records(RecordPage),
    /// The progress of a script that was requested. Final once the script has ended.
    Run(RunProgress),
    /// How a ping that was requested has ended. Final.
    Pinged(PingOutcome),
    /// What a script would execute. Final.
    Script(Box<ScriptPlan>),
    /// Success. Final.
    Done {},
    /// The service command failed; code and arguments. Final.
    Failed(Vec<String>),
    /// The request is malformed, or this client may not make it. Final.
    Error(String),
    /// There is no place for this connection, which core closes. Final.
    Busy {
        /// Why, and what to do.
        why: String,
    },
}

impl Reply {
    /// Whether this ends the request.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Reply::Service(_)
            | Reply::Peers(_)
            | Reply::Line(_)
            | Reply::Live { .. }
            | Reply::Event(_)
            | Reply::Dropped { .. }
            | Reply::Applied(_)
            | Reply::Run(
                RunProgress::Waiting(_) | RunProgress::Started { .. } | RunProgress::Output { .. },
            ) => false,
            Reply::Peer(_)
            | Reply::Recent(_)
            | Reply::Changes(_)
            | Reply::Records(_)
            | Reply::Run(RunProgress::Ended(_))
            | Reply::Pinged(_)
            | Reply::Script(_)
            | Reply::Done {}
            | Reply::Failed(_)
            | Reply::Error(_)
            | Reply::Busy { .. } => true,
        }
    }
}

/// The state of core's connection to the tripe server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ServerLink {
    /// The server is unreachable; core tries again and again.
    Down,
    /// Connected, but the server has not listed its peers yet.
    Joining,
    /// The service is claimed, and the server has listed its peers.
    Up,
}

/// The service as a whole.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ServiceStatus {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The service's version.
    pub version: String,
    /// Core's process number.
    pub pid: u32,
    /// Seconds since core started.
    pub uptime: u64,
    /// The server's socket.
    pub socket: String,
    /// The state of core's connection to the server.
    pub server: ServerLink,
    /// The peer database.
    pub database: DatabaseStatus,
    /// The pinger.
    pub pinger: HelperStatus,
    /// The script helper.
    pub scripts: ScriptHelperStatus,
    /// What was counted since core started.
    #[serde(default)]
    pub counters: Counters,
    /// Whether checks and answers come when they are due.
    #[serde(default)]
    pub checks: OverdueChecks,
    /// What is wrong with the state file; `None` if it can be written, or none is kept.
    #[serde(default)]
    pub state_fault: Option<WriteFault>,
    /// The last knock that was refused, if that was in the last ten minutes, and the same host has
    /// not been accepted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_knock: Option<RefusedKnock>,
    /// The number of the last event that this includes.
    #[serde(default)]
    pub seq: u64,
    /// The connections on the observers' socket.
    #[serde(default)]
    pub observers: ObserverCounts,
}

/// What core counts since it started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct Counters {
    /// Checks of peers that failed.
    pub unreachable: u64,
    /// Reconnections begun, by the service or by `kick`.
    pub reconnects: u64,
    /// Scripts that have ended, by result.
    pub scripts: ScriptCounters,
    /// Databases loaded after the first.
    pub reloads: u64,
    /// Database files that could not be used.
    pub reload_faults: u64,
    /// How often the connection to the server was lost.
    pub server_losses: u64,
    /// Service commands, of all kinds.
    pub commands: u64,
    /// Knocks that were refused.
    pub refused_knocks: u64,
    /// Events left out for clients that read too slowly, or for which too many came in a second.
    pub events_dropped: u64,
    /// Lines of core's log that were lost, because nobody read it or it could not be written.
    pub log_lines_lost: u64,
    /// Lookups of host names (key `re-resolve`), by how they ended.
    #[serde(skip_serializing_if = "LookupCounters::is_empty")]
    pub lookups: LookupCounters,
}

/// How many scripts ended in which way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct ScriptCounters {
    /// Those that exited with status 0, or were stopped by core.
    pub ok: u64,
    /// Those that exited with another status or by a signal.
    pub failed: u64,
    /// Those that reached their time limit.
    pub timed_out: u64,
    /// Those that could not be started.
    pub not_started: u64,
    /// Those whose helper was lost before it could say how they ended.
    pub lost: u64,
    /// Those that are queued and under way at this moment.
    pub pending: u64,
}

/// One helper process.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct HelperStatus {
    /// Whether it is connected.
    pub connected: bool,
    /// How many times it has connected.
    pub connections: u64,
    /// Its process number, while connected.
    pub pid: Option<i32>,
    /// Its version, while connected.
    pub version: Option<String>,
    /// Seconds for which a message from it has been overdue; `None` if none is.
    #[serde(default)]
    pub silent: Option<u64>,
    /// Lines of its log that were lost since it started, because nobody read it or it could not be
    /// written. Known only while it is connected.
    #[serde(default)]
    pub log_lines_lost: u64,
    /// How many times it was started again, whether or not it then connected.
    #[serde(default)]
    pub restarts: u64,
    /// Seconds since it was last started again; left out if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted: Option<u64>,
}

/// The script helper: the process, its journal, and its places.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ScriptHelperStatus {
    /// The process.
    #[serde(flatten)]
    pub helper: HelperStatus,
    /// What is wrong with the journal of runs; `None` if it is in order.
    #[serde(default)]
    pub journal_fault: Option<WriteFault>,
    /// The runs of each lane, over all peers.
    #[serde(default)]
    pub lanes: ByLane<LaneStatus>,
}

/// The runs of one lane, over all peers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct LaneStatus {
    /// Those under way.
    pub running: u64,
    /// Those that wait, for others of their peer or for a place.
    pub waiting: u64,
    /// Seconds for which runs have waited for a place because as many as are allowed are under way;
    /// `None` if none waits for that.
    pub full: Option<u64>,
}

/// Some of the peers, all at one instant.
///
/// There may be events between messages of rows. Events of a peer come only after the message in
/// which its row was, or would have been. So nothing about a peer is sent twice, and nothing is
/// left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PeerRows {
    /// The number of the last event that the rows include.
    pub seq: u64,
    /// The peers, sorted by name.
    pub list: Vec<PeerStatus>,
}

/// How a peer is: the same word in text, JSON and metrics.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// It is pinged, and its last check was answered.
    Up,
    /// It is pinged, and no check has ended yet.
    Checking,
    /// It is pinged, but the service is not connected to the server, or its check or the answer to
    /// its ping is overdue.
    Unknown,
    /// It is pinged, and its last check failed: it is being reconnected or removed.
    Down,
    /// It is being added.
    Adding,
    /// It is not at the server, though it should be: it did not answer, the server ended, the other
    /// host ended the connection (with `auto`), it could not be added again, or it was removed
    /// while the service did not run or was not connected.
    Gone,
    /// It was removed by a command, by the other host, or because the server ended.
    Killed,
    /// It is passive, or has a user and no `auto`, and has not connected since the service started.
    Waiting,
    /// It is watched or to be added at start-up, and was not added since the service started.
    Absent,
    /// It is at the server, and the service does not ping it.
    Unwatched,
}

impl PeerState {
    /// Every state, in the order in which they are listed.
    pub const ALL: [PeerState; 10] = [
        PeerState::Up,
        PeerState::Checking,
        PeerState::Unknown,
        PeerState::Down,
        PeerState::Adding,
        PeerState::Gone,
        PeerState::Killed,
        PeerState::Waiting,
        PeerState::Absent,
        PeerState::Unwatched,
    ];

    /// The state in one word, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PeerState::Up => "up",
            PeerState::Checking => "checking",
            PeerState::Unknown => "unknown",
            PeerState::Down => "down",
            PeerState::Adding => "adding",
            PeerState::Gone => "gone",
            PeerState::Killed => "killed",
            PeerState::Waiting => "waiting",
            PeerState::Absent => "absent",
            PeerState::Unwatched => "unwatched",
        }
    }

    /// Whether the peer is adopted, so that it is pinged.
    #[must_use]
    pub const fn is_adopted(self) -> bool {
        matches!(
            self,
            PeerState::Up | PeerState::Checking | PeerState::Unknown | PeerState::Down
        )
    }

    /// Whether the server has the peer, as far as is known.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.is_adopted() || matches!(self, PeerState::Unwatched)
    }
}

/// One line of the peer table.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PeerStatus {
    /// The peer's name.
    pub name: String,
    /// How it is.
    pub state: PeerState,
    /// Whether it should be up now: it is pinged, being added or gone, or is absent and to be added
    /// at start-up.
    #[serde(default)]
    pub wanted: bool,
    /// Its address in the server's words, once known.
    pub address: Option<String>,
    /// Its network interface, once known.
    pub interface: Option<String>,
    /// Failed attempts in the current or most recent check.
    pub failures: u32,
    /// Checks that failed in a row.
    pub failed_checks: u32,
    /// Milliseconds until the next ping is due, where one is planned.
    pub next_ping_ms: Option<u64>,
    /// Seconds since the peer was adopted or first seen, or since it was removed, or since the
    /// first attempt to add it; 0 if the server never had it and nobody has tried to add it.
    pub age: u64,
    /// The history of its connection.
    #[serde(default)]
    pub connection: ConnectionStatus,
    /// Round-trip statistics.
    pub statistics: PingStatistics,
    /// Its scripts that need attention.
    #[serde(default, skip_serializing_if = "PeerScripts::is_empty")]
    pub scripts: PeerScripts,
}

/// The scripts of a peer that need attention; at most one of each kind in each list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct PeerScripts {
    /// Those whose latest run failed, the latest last.
    pub failed: Vec<FailedScript>,
    /// Those that take unusually long or cannot be ended, the oldest first.
    pub long: Vec<LongScript>,
}

impl PeerScripts {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.long.is_empty()
    }
}

/// A script of a peer that takes unusually long: it runs, or waits for others, for over a minute,
/// or cannot be ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct LongScript {
    /// Which script.
    pub kind: ScriptKind,
    /// Its process number, also that of its process group; `None` while it waits to be started.
    pub pid: Option<i32>,
    /// Seconds since it was started, or ordered.
    pub seconds: u64,
    /// Seconds that it may take, if there is a limit.
    pub limit: Option<u32>,
    /// Seconds since it was sent `KILL`, if it still runs.
    pub survives: Option<u64>,
}

/// A script of a peer whose latest run failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct FailedScript {
    /// Which script.
    pub kind: ScriptKind,
    /// What went wrong.
    pub failure: ScriptFailure,
    /// Seconds since then.
    pub ago: u64,
}

/// One peer in full.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PeerDetail {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The line of the peer table; `None` if the server does not have the peer and nothing asks for
    /// it.
    pub status: Option<PeerStatus>,
    /// The database record, sorted by key; `None` if there is none, or if it does not fit into a
    /// message.
    pub record: Option<Vec<(String, String)>>,
    /// Scripts queued and under way.
    pub scripts: Vec<ScriptStatus>,
    /// The last scripts that ended, oldest first.
    #[serde(default)]
    pub recent: Vec<RecentScript>,
    /// The server's algorithms for the peer, if they were asked for.
    #[serde(default)]
    pub algorithms: Vec<(String, String)>,
    /// How it is pinged, if it is adopted.
    #[serde(default)]
    pub plan: Option<crate::pinger::PingPlan>,
    /// The size in bytes of a record that does not fit into a message.
    #[serde(default)]
    pub oversize: Option<usize>,
}

/// A script queued or under way.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ScriptStatus {
    /// Which script.
    pub kind: ScriptKind,
    /// Its process number once it was started.
    pub pid: Option<i32>,
    /// Seconds since it was started, or ordered.
    #[serde(default)]
    pub seconds: u64,
}
