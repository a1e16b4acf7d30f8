// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages between core and connect-ifscripts.
//!
//! ```text
//! scripts -> core   hello, resume            runs that core has not settled
//! core -> scripts   hello, adopt, ready      runs that only core knows of
//! core -> scripts   recall                   a new core asks for the setups
//! scripts -> core   setups                   a page of them
//! scripts -> core   failures                 before the first page: scripts that have failed
//! core -> scripts   run, setup               queue this script for its peer; note this setup
//! scripts -> core   taken, started, output, ended   for each run
//! scripts -> core   survives                 a script that is to end cannot be ended
//! core -> scripts   failures                 which scripts have failed, for the next core
//! core -> scripts   settled                  the end of these runs was dealt with
//! core -> scripts   look-up                  look this host name up
//! scripts -> core   looked-up                what came of that
//! ```
//!
//! `taken` comes first, then `started`. Output may follow `ended`, while a process that the script
//! left behind holds the pipe.
//!
//! A run has the same number for ever: one that is ordered twice, since nobody knows whether the
//! first order arrived, is run once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::clock::Monotonic;
use crate::hello::{Role, ToHelper};
use crate::lookup::{LookedUp, Lookup};
use crate::pair::Lane;
pub use crate::pair::ScriptKind;
use crate::setup::{SetupChange, SetupKey, SetupPage, SetupState};

/// How many runs that are over may have pipes that another process, such as a server that a script
/// started, still has open. If there are more, both sides forget the oldest. Each needs two
/// descriptors of the helper; together with those of 128 children, three each, this is less than
/// the 1,024 that a process usually may have.
pub const LINGERING: usize = 256;

/// How long a script that is to end has between `TERM` and `KILL`.
pub const KILL_AFTER: Duration = Duration::from_secs(2);

/// If a script still runs this long after it was sent `KILL`, that is reported. The system ends a
/// process within milliseconds, except one that waits for a device or a file server.
pub const SURVIVES_AFTER: Duration = Duration::from_secs(2);

/// A script that takes longer than this is reported, if it has no limit, as by default, or a longer
/// one; so are scripts that wait for a place this long. Scripts usually take seconds; one that
/// waits for a name or for another host may take longer.
pub const LONG: Duration = Duration::from_secs(60);

/// The scripts that can be run again for a peer that is up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceScript {
    /// Sets up the peer's interface.
    Ifup,
    /// Takes it down.
    Ifdown,
}

impl From<InterfaceScript> for ScriptKind {
    fn from(script: InterfaceScript) -> ScriptKind {
        match script {
            InterfaceScript::Ifup => ScriptKind::Ifup,
            InterfaceScript::Ifdown => ScriptKind::Ifdown,
        }
    }
}

/// What is to be executed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A program and its arguments, executed directly. Never empty.
    Exec(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

/// How many runs of a peer may wait: in one lane in the script helper, or in core while no script
/// helper is there. They become as many as this only if a script of the peer hangs, or the helper
/// is missing, while the peer is added and removed again and again; more would only cost memory.
pub const MAX_WAITING: usize = 1_000;

/// One run to be made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    /// Its number in every further message.
    pub run: RunId,
    /// The peer whose queue it joins.
    pub peer: String,
    /// Which script it is.
    pub kind: ScriptKind,
    /// What to execute.
    pub command: Command,
    /// Variables to set in addition to the helper's own environment.
    pub environment: Vec<(String, String)>,
    /// Seconds it may take, from its start; `None` for no limit.
    pub limit: Option<u32>,
    /// The new state of the peer's setup that this script belongs to; `None` if the run does not
    /// change it, such as a run that repeats another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupState>,
    /// The runs whose work this script undoes, if core does not know yet whether one of them was
    /// started. If none ever was, this script is not run either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<RunId>,
}

impl Run {
    /// The setup that this run changes.
    #[must_use]
    pub fn setup_key(&self) -> SetupKey {
        SetupKey {
            peer: self.peer.clone(),
            pair: self.kind.pair(),
        }
    }
}

/// A child that some helper started: its process number and its start time, which together name it
/// even after the number was used again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Child {
    /// The process number, also that of its process group.
    pub pid: i32,
    /// When it started, in clock ticks since boot; 0 if the system does not say.
    pub start_time: u64,
}

/// A run that is under way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnderWay {
    /// Its number.
    pub run: RunId,
    /// The peer.
    pub peer: String,
    /// Which script it is.
    pub kind: ScriptKind,
    /// The child; `None` while it waits in its peer's queue.
    pub child: Option<Child>,
    /// Seconds it may take, from its start, as in [`Run::limit`], for a helper that adopts the
    /// child.
    #[serde(default)]
    pub limit: Option<u32>,
}

impl From<&Run> for UnderWay {
    /// The run as it waits in its peer's queue.
    fn from(run: &Run) -> Self {
        UnderWay {
            run: run.run,
            peer: run.peer.clone(),
            kind: run.kind,
            child: None,
            limit: run.limit,
        }
    }
}

/// Where an output line was written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Signal(i32),
    /// The system reported a status that is neither.
    Unknown(u32),
    /// It could not be started.
    NotStarted(String),
    /// It reached its time limit and was killed.
    TimedOut,
    /// It was stopped, or removed from the queue, because core asked for it.
    Stopped,
    /// The helper that started it has ended before it, so nobody knows its status; or it is not
    /// known whether it was started. It has ended.
    Lost,
}

/// What went wrong with a run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ScriptFailure {
    /// It exited with this status, which is not 0.
    Exited(i32),
    /// This signal killed it.
    Signal(i32),
    /// The system reported a status that is neither.
    Unknown(u32),
    /// It could not be started.
    NotStarted,
    /// It reached its time limit.
    TimedOut,
    /// Its helper has ended before it, so nobody knows how it ended.
    Lost,
}

impl Ended {
    /// What went wrong; `None` if it succeeded, or ended because core asked for it.
    #[must_use]
    pub const fn failure(&self) -> Option<ScriptFailure> {
        Some(match self {
            Ended::Exited(0) | Ended::Stopped => return None,
            Ended::Exited(status) => ScriptFailure::Exited(*status),
            Ended::Signal(signal) => ScriptFailure::Signal(*signal),
            Ended::Unknown(status) => ScriptFailure::Unknown(*status),
            Ended::NotStarted(_) => ScriptFailure::NotStarted,
            Ended::TimedOut => ScriptFailure::TimedOut,
            Ended::Lost => ScriptFailure::Lost,
        })
    }
}

/// A run that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EndedRun {
    /// Whose script it was.
    pub peer: String,
    /// When it ended.
    pub at: Monotonic,
    /// Which script it was.
    pub kind: ScriptKind,
    /// How it ended.
    pub end: Ended,
    /// Its last lines.
    pub output: Vec<String>,
}

impl EndedRun {
    /// Which script it was.
    #[must_use]
    pub fn key(&self) -> FailureKey {
        let (peer, kind) = (self.peer.clone(), self.kind);
        FailureKey { peer, kind }
    }
}

/// A script that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct RecentScript {
    /// Which script.
    pub kind: ScriptKind,
    /// How it ended.
    pub end: Ended,
    /// Seconds since then.
    pub ago: u64,
    /// Its last lines of output, at most a few.
    pub output: Vec<String>,
}

/// Which failure: of each script of a peer only the latest is kept.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureKey {
    /// The peer.
    pub peer: String,
    /// The script.
    pub kind: ScriptKind,
}

/// A change of the failures that the script helper keeps for the next core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureChange {
    /// A script failed.
    Failed(EndedRun),
    /// This failure does not matter any more.
    Forgotten(FailureKey),
}

/// Changes of these failures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureChanges {
    /// Whether these and the following are all failures, so that what was kept before is void.
    pub all: bool,
    /// The changes.
    pub changes: Vec<FailureChange>,
}

/// From core to the script helper.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToScripts {
    /// Runs that an earlier helper started, as only core knows: watch them until they end, and
    /// start no other script of their lanes before that. Several messages if there are many.
    Adopt(Vec<UnderWay>),
    /// Everything from before has been named; begin.
    Ready {},
    /// Send a page of the setups: those after the key given. If none is given, send all failures,
    /// and then the first page.
    Recall(Option<SetupKey>),
    /// Queue these runs, in this order.
    Run(Vec<Run>),
    /// A setup has changed without a script; answered by `taken` with its number. If it is undone,
    /// what waits to make it is over as stopped; so it is if a run undoes it.
    Setup(SetupChange),
    /// Keep these failures for the next core, until the script succeeds.
    Failures(FailureChanges),
    /// Core knows the end of these runs, which the helper has named, and that they may have been
    /// started: if the journal has lost that and the helper would start one, it is over as lost.
    Over(Vec<RunId>),
    /// Core has dealt with the end of these runs, so their results are not needed any more.
    Settled(Vec<RunId>),
    /// Look this host name up, with the system's resolver; answered by `looked-up`.
    LookUp(Lookup),
    /// End this run: `TERM` to its group, two seconds later `KILL`.
    Stop(RunId),
    /// The other side sent something malformed.
    Error(String),
}

impl ToHelper for ToScripts {
    const ROLE: Role = Role::Ifscripts;

    fn error(&self) -> Option<&str> {
        match self {
            ToScripts::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// From the script helper to core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromScripts {
    /// First after the hello: the runs that core has not settled, perhaps none. More than
    /// [`ITEMS_PER_FRAME`](crate::frame::ITEMS_PER_FRAME) come in several messages, of which only
    /// the last has fewer than that. What happened since the last connection follows as usual
    /// messages: a run listed as queued may be followed by its `started`, and so on.
    Resume(Vec<UnderWay>),
    /// The order of this run has arrived and stands in the journal, and the run waits for its turn;
    /// or the change of a setup with this number has. Sent at once, so that core notices a helper
    /// that is suspended or hangs.
    Taken(RunId),
    /// A child was started.
    Started {
        /// Which run.
        run: RunId,
        /// The child.
        child: Child,
    },
    /// A line of output.
    Output {
        /// Which run.
        run: RunId,
        /// Where it was written.
        stream: Stream,
        /// The line, without newline; bytes that are not UTF-8 are replaced.
        line: String,
    },
    /// This many further lines were read and dropped because the child wrote too many.
    Dropped {
        /// Which run.
        run: RunId,
        /// Where they were written.
        stream: Stream,
        /// How many.
        lines: u64,
    },
    /// A stream has ended, so no further line of it will come. After the end of a run that is lost,
    /// it can also mean that the stream cannot be read.
    Eof {
        /// Which run.
        run: RunId,
        /// Which stream.
        stream: Stream,
    },
    /// A run that has to end, because of its time limit or because core asked for it, was sent
    /// `KILL` and still runs: it waits for a device or a file server, or is another user's. No
    /// other script of its lane starts until it ends. Sent once, and again to each core that
    /// connects.
    Survives {
        /// Which run.
        run: RunId,
        /// When it was sent `KILL` first.
        since: Monotonic,
    },
    /// A run is over.
    Ended {
        /// Which run.
        run: RunId,
        /// How.
        end: Ended,
    },
    /// Scripts whose latest run failed, as earlier cores have reported.
    Failures(Vec<EndedRun>),
    /// A page of the setups.
    Setups(SetupPage),
    /// What is wrong with the journal of runs, with the remedy; `None` when it is in order again.
    /// If a helper has not sent this, its journal is in order.
    JournalFault(Option<String>),
    /// Whether scripts of this lane wait for a place because as many as are allowed are under way.
    Full {
        /// Which lane.
        lane: Lane,
        /// Whether others wait.
        full: bool,
    },
    /// What came of a lookup.
    LookedUp(LookedUp),
    /// This many lines of the script helper's log were lost since it started.
    LogLost(u64),
    /// The other side sent something malformed.
    Error(String),
}
