// SPDX-License-Identifier: GPL-3.0-or-later
//! What `--json` says about the service and its peers.
//!
//! Peers, pings and scripts that have ended have their own types here. So the messages between the
//! processes can change without breaking the scripts of users.

use connect_ipc::changes::RecordStanding;
use connect_ipc::control::{
    Counters, DatabaseStatus, HelperStatus, LongScript, PeerState, PeerStatus, ScriptHelperStatus,
    ServerLink, ServiceStatus,
};
use connect_ipc::event::{Event, EventName, Removal};
use connect_ipc::knock::RefusedKnock;
use connect_ipc::lookup::LookupStatus;
use connect_ipc::observers::ObserverCounts;
use connect_ipc::overdue::OverdueChecks;
use connect_ipc::statistics::{LastPing, PingStatistics};
use connect_ipc::write_fault::WriteFault;
use serde::Serialize;

use super::SCHEMA;
use super::event_text;
use super::script_report::FailedScriptReport;

/// How a command ended.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct CommandReport<'a> {
    /// The version of this output, 1.
    pub(crate) schema: u32,
    /// The command and its arguments.
    pub(crate) command: &'a [String],
    /// Whether it succeeded.
    pub(crate) ok: bool,
    /// The answer, each line in words.
    pub(crate) lines: &'a [Vec<String>],
    /// Code and arguments, if the command failed.
    pub(crate) failure: Option<&'a [String]>,
    /// The outcome, if it was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<OutcomeReport>,
}

impl<'a> CommandReport<'a> {
    /// A command whose outcome is not waited for.
    pub(crate) fn new(
        command: &'a [String],
        lines: &'a [Vec<String>],
        failure: Option<&'a [String]>,
    ) -> Self {
        CommandReport {
            schema: SCHEMA,
            command,
            ok: failure.is_none(),
            lines,
            failure,
            outcome: None,
        }
    }
}

/// The outcome of a command.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OutcomeReport {
    /// Whether it was reached.
    pub(crate) result: OutcomeResult,
    /// The kind of the event that decided it.
    pub(crate) kind: Option<EventName>,
    /// The number of that event.
    pub(crate) seq: Option<u64>,
    /// What happened, in words.
    pub(crate) text: Option<String>,
}

impl OutcomeReport {
    /// An outcome, and the event that decided it, if one did.
    pub(crate) fn new(result: OutcomeResult, event: Option<&Event>) -> Self {
        OutcomeReport {
            result,
            kind: event.map(|event| event.kind.name()),
            seq: event.map(|event| event.seq),
            text: event.map(|event| event_text::describe(&event.kind).0),
        }
    }
}

/// Whether a command led to what was waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutcomeResult {
    Reached,
    Failed,
    Late,
}

/// The service as a whole.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ServiceReport<'a> {
    /// The service's version.
    pub(crate) version: &'a str,
    /// Core's process number.
    pub(crate) pid: u32,
    /// Seconds since core started.
    pub(crate) uptime: u64,
    /// The server's socket.
    pub(crate) socket: &'a str,
    /// `down`, `joining` or `up`.
    pub(crate) server: ServerLink,
    /// The peer database in use.
    pub(crate) database: &'a DatabaseStatus,
    /// The pinger.
    pub(crate) pinger: &'a HelperStatus,
    /// The script helper.
    pub(crate) scripts: &'a ScriptHelperStatus,
    /// What was counted since core started.
    pub(crate) counters: &'a Counters,
    /// Whether checks and answers come when they are due.
    pub(crate) checks: &'a OverdueChecks,
    /// What is wrong with the state file, if something is.
    pub(crate) state_fault: Option<&'a WriteFault>,
    /// The last knock that was refused, if that was in the last ten minutes, and the same host has
    /// not been accepted since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused_knock: Option<&'a RefusedKnock>,
    /// The connections on the observers' socket.
    pub(crate) observers: ObserverCounts,
}

impl<'a> From<&'a ServiceStatus> for ServiceReport<'a> {
    fn from(status: &'a ServiceStatus) -> Self {
        ServiceReport {
            version: &status.version,
            pid: status.pid,
            uptime: status.uptime,
            socket: &status.socket,
            server: status.server,
            database: &status.database,
            pinger: &status.pinger,
            scripts: &status.scripts,
            counters: &status.counters,
            checks: &status.checks,
            state_fault: status.state_fault.as_ref(),
            refused_knock: status.refused_knock.as_ref(),
            observers: status.observers,
        }
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PeerReport<'a> {
    /// The peer's name.
    pub(crate) name: &'a str,
    /// How it is, in one word.
    pub(crate) state: PeerState,
    /// Whether it should be up now.
    pub(crate) wanted: bool,
    /// Whether it is at the server and its most recent check failed.
    pub(crate) down: bool,
    /// Its address in the server's words.
    pub(crate) address: Option<&'a str>,
    /// Its interface in the server's words.
    pub(crate) interface: Option<&'a str>,
    /// Failed attempts in the current or most recent check.
    pub(crate) failures: u32,
    /// Checks that failed in a row.
    pub(crate) failed_checks: u32,
    /// Milliseconds until the next ping is due.
    pub(crate) next_ping_ms: Option<u64>,
    /// Seconds since the peer was adopted or first seen, or since it was removed, or since the
    /// first attempt to add it; 0 if the server never had it and nobody has tried to add it.
    pub(crate) age: u64,
    /// Seconds since it last began or stopped answering.
    pub(crate) changed: Option<u64>,
    /// Reconnections begun since adoption.
    pub(crate) reconnects: u32,
    /// Seconds since the last of them.
    pub(crate) last_reconnect: Option<u64>,
    /// The outcome of the last of them.
    pub(crate) reconnect_outcome: Option<ReconnectOutcome>,
    /// Its scripts whose latest run did not end well, the latest last.
    pub(crate) failed_scripts: Vec<FailedScriptReport>,
    /// Its scripts that take unusually long, the oldest first.
    pub(crate) long_scripts: &'a [LongScript],
    /// Seconds for which it has been added or checked, if that is unusually long.
    pub(crate) pending: Option<u64>,
    /// Milliseconds until it is added, if the server does not have it and it waits for that (key
    /// `when-dead`): it did not answer, its other host has left, nobody has seen why it was
    /// removed, or it could not be added. Nothing is added while the server is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_add_ms: Option<u64>,
    /// Why the last attempt to add it failed, if it did: a code and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) add_failure: Option<&'a [String]>,
    /// Why the server no longer has it, if it had it: as in the event `removed`, but `server` if
    /// the reason was `command` or `left`, and the connection to the server ended within two
    /// seconds after that event.
    pub(crate) removal: Option<Removal>,
    /// Round-trip statistics.
    pub(crate) ping: PingReport,
    /// `changed`, `removed` or `new` if it differs from the database, else `null`.
    pub(crate) record: Option<RecordStanding>,
    /// The lookups of its host name, if its record asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lookup: Option<&'a LookupStatus>,
}

/// Whether the peer is at the server and its most recent check failed.
pub(crate) fn is_down(status: &PeerStatus) -> bool {
    status.state == PeerState::Down
}

impl<'a> From<&'a PeerStatus> for PeerReport<'a> {
    fn from(status: &'a PeerStatus) -> Self {
        PeerReport {
            name: &status.name,
            state: status.state,
            wanted: status.wanted,
            down: is_down(status),
            address: status.address.as_deref(),
            interface: status.interface.as_deref(),
            failures: status.failures,
            failed_checks: status.failed_checks,
            next_ping_ms: status.next_ping_ms,
            age: status.age,
            changed: status.connection.changed,
            reconnects: status.connection.reconnects,
            last_reconnect: status.connection.last_reconnect,
            reconnect_outcome: ReconnectOutcome::of(status),
            failed_scripts: status.scripts.failed.iter().map(Into::into).collect(),
            long_scripts: &status.scripts.long,
            pending: status.connection.pending,
            next_add_ms: status.connection.next_add_ms,
            add_failure: status.connection.add_failure.as_deref(),
            removal: status.connection.removal,
            ping: (&status.statistics).into(),
            record: status.connection.record,
            lookup: status.connection.lookup.as_deref(),
        }
    }
}

/// The outcome of the last reconnection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReconnectOutcome {
    /// The peer answers.
    Answers,
    /// It has not answered since.
    Silent,
}

impl ReconnectOutcome {
    /// The outcome, if there was a reconnection.
    pub(crate) fn of(status: &PeerStatus) -> Option<Self> {
        status.connection.last_reconnect?;
        Some(if status.failed_checks > 0 {
            ReconnectOutcome::Silent
        } else {
            ReconnectOutcome::Answers
        })
    }
}

/// How the most recent ping ended.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LastResult {
    /// No ping has ended yet.
    None,
    /// A reply came.
    Reply,
    /// No reply came in time.
    Timeout,
}

/// Round-trip statistics.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PingReport {
    /// Successful pings.
    pub(crate) replies: u64,
    /// Pings that timed out.
    pub(crate) lost: u64,
    /// Share of pings lost, 0 to 1.
    pub(crate) loss: Option<f64>,
    /// How the most recent ping ended.
    pub(crate) last: LastResult,
    /// Its time, if a reply came.
    pub(crate) last_ms: Option<f64>,
    /// The shortest round trip, in milliseconds.
    pub(crate) min_ms: Option<f64>,
    /// The mean round trip, in milliseconds.
    pub(crate) mean_ms: Option<f64>,
    /// The longest round trip, in milliseconds.
    pub(crate) max_ms: Option<f64>,
    /// The standard deviation of round trips, in milliseconds.
    pub(crate) sd_ms: Option<f64>,
}

impl From<&PingStatistics> for PingReport {
    fn from(statistics: &PingStatistics) -> Self {
        let (last, last_ms) = match statistics.last {
            LastPing::None => (LastResult::None, None),
            LastPing::Reply(time) => (LastResult::Reply, Some(time)),
            LastPing::Timeout => (LastResult::Timeout, None),
        };
        PingReport {
            replies: statistics.replies,
            lost: statistics.lost,
            loss: statistics.loss(),
            last,
            last_ms,
            min_ms: statistics.min(),
            mean_ms: statistics.mean(),
            max_ms: statistics.max(),
            sd_ms: statistics.deviation(),
        }
    }
}
