// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that can happen to core: the one way into the [`Machine`](super::Machine).
//!
//! An input is given with the time at which it happened. Inputs can be written as JSON, so a
//! recording of them repeats what core did (see [`recording`](crate::recording)).

use std::borrow::Cow;
use std::path::PathBuf;

use connect_ipc::RunId;
use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::control::{Envelope, HelperStatus};
use connect_ipc::hello::Role;
use connect_ipc::observers::ObserverCounts;
use connect_ipc::pinger::FromPinger;
use connect_ipc::scripts::FromScripts;
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use serde::{Deserialize, Serialize};
use tripe_admin::Interval;

use super::database::Loaded;
use super::inheritance::Inherited;
use connect_ipc::setup::ServerRun;

/// One connection to one of our own sockets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// What does not change while core runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// The service's version for `SVCCLAIM`.
    pub version: String,
    /// Which boot of the host this is; `None` if the system does not say it.
    pub boot: Option<BootId>,
    /// Core's process number, for `status`.
    pub pid: u32,
    /// The server's socket, for messages.
    pub socket: PathBuf,
    /// The database's file, for messages.
    pub database: PathBuf,
    /// Whether the service is started together with the server (`--startup`).
    pub startup: bool,
    /// The kind of ping for peers whose record does not choose.
    pub ping: PingKind,
    /// The time limit of scripts whose record sets none; `None` for no limit.
    pub script_limit: Option<Interval>,
    /// The hooks of peers whose record names none.
    #[serde(default, skip_serializing_if = "DefaultHooks::are_none")]
    pub hooks: DefaultHooks,
    /// Whether core ends when it loses the server (`--exit-on-disconnect`).
    pub exit_on_disconnect: bool,
    /// How long to wait for a server that was never joined, from `started`.
    pub server_wait: Option<Interval>,
    /// When core started.
    pub started: Monotonic,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input<'a> {
    /// A connection to the server was made.
    ServerConnected {
        /// Which run of the server it is, if that is certain.
        run: Option<ServerRun>,
    },
    /// The server sent a line (tripe-admin(5)), given without its newline.
    ServerLine(Cow<'a, str>),
    /// The connection to the server was lost, or could not be made.
    ServerLost {
        /// What the system said, for messages.
        reason: String,
    },
    /// A pinger has connected and said hello.
    PingerConnected {
        /// Its connection.
        connection: ConnectionId,
        /// Its process number and version.
        status: HelperStatus,
    },
    /// A message of a pinger.
    Pinger(ConnectionId, FromPinger),
    /// Core's own program, which starts the helpers, has news of one.
    Supervisor(HelperNews),
    /// A script helper has connected and said hello.
    ScriptsConnected {
        /// Its connection.
        connection: ConnectionId,
        /// Its process number and version.
        status: HelperStatus,
    },
    /// A message of a script helper.
    Scripts(ConnectionId, FromScripts),
    /// A request on the control or the observers' socket, which that socket admits.
    Request {
        /// Its connection.
        connection: ConnectionId,
        /// Who asks, for observers and the log.
        by: Cow<'a, str>,
        /// Whose program asks, if the system says so.
        #[serde(default)]
        user: Option<u32>,
        /// What is asked.
        envelope: Envelope,
    },
    /// The child of a run has ended, as the system says; see
    /// [`Output::WatchChild`](super::Output::WatchChild).
    ChildEnded(RunId),
    /// A connection of a helper, an operator or an observer has ended.
    Gone(ConnectionId),
    /// An operator or observer has read what it was sent, so that it may be sent more
    /// [`Output::Rows`](super::Output::Rows).
    Drained(ConnectionId),
    /// The database file was read.
    Database(Loaded),
    /// An earlier core has left its state; comes before the first [`Input::ServerConnected`].
    Inherited(Box<Inherited>),
    /// The counts of connected observers have changed.
    Observers(ObserverCounts),
    /// This many events were not sent to observers that read too slowly.
    EventsDropped(u64),
    /// The wall clock was set, or core has just started.
    WallClock {
        /// Milliseconds since 1970 at this instant.
        millis: u64,
    },
    /// The host was suspended since the last input, for about this time. The monotonic clock did
    /// not advance meanwhile, but the server's timers did.
    Slept {
        /// Seconds.
        seconds: u64,
    },
    /// What happened to something that core writes for others.
    Written(WriteNews),
    /// A signal asks for an orderly end.
    Leave,
    /// A signal asks to read the database now.
    Reload,
    /// All inputs that have arrived were given: the machine now does what is due, and gives out
    /// what it has collected for the server and the pinger. Comes after each group of other inputs,
    /// and alone when [`Machine::next_deadline`](super::Machine::next_deadline) has passed.
    EndOfTurn,
}

/// What core's own program reports about a helper that it starts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperNews {
    /// It was started again.
    Restarted(Role),
    /// The script helper cannot begin; this says why, and what to do.
    HeldUp(String),
}

/// What happened to something that core writes for others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteNews {
    /// The state file cannot be written.
    StateFault {
        /// Why not, with the remedy.
        fault: String,
    },
    /// The state file can be written again.
    StateSaved {},
    /// Lines of core's own log were lost.
    LogLost {
        /// How many since core started.
        lines: u64,
    },
}
