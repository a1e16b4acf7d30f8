// SPDX-License-Identifier: GPL-3.0-or-later
//! What happened to a peer: what the server said of it, what its scripts did, and what the service
//! said of them.

use std::collections::BTreeMap;

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::ByLane;

/// When something happened that was seen a little later: not before `from`, not after `to`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Not before this.
    pub from: Monotonic,
    /// Not after this.
    pub to: Monotonic,
}

/// What scripts are run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CauseKind {
    /// The server has added the peer.
    Added,
    /// The server does not have the peer any more.
    Removed,
    /// The service reconnects the peer.
    Reconnecting,
    /// The peer answers for the first time since it was added, or since it was unreachable.
    Answered,
    /// The peer, which answered before, is unreachable.
    Unreachable,
}

/// One cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cause {
    /// What happened.
    pub kind: CauseKind,
    /// When.
    pub when: Span,
    /// What is known about it.
    pub certainty: Certainty,
}

/// What is known about a cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certainty {
    /// It happened, and the service had the peer's record.
    Certain,
    /// It happened, but the service may not have had the peer's record: the database was faulty, or
    /// did not have the peer.
    WithoutRecord,
    /// It may have happened just before the server was killed.
    LastMoment,
}

/// How it is known that a script was started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// It wrote that down itself.
    Script,
    /// It was ended before it could, and the script helper's journal has it.
    Journal,
    /// There is no such script: the journal says that the setup was made without one.
    Setup,
}

/// One script that was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScriptRun {
    /// Which script.
    pub kind: ScriptKind,
    /// Its number, if the service has told it.
    pub number: Option<u64>,
    /// Its process number.
    pub pid: i32,
    /// When it was started.
    pub start: Monotonic,
    /// `None` if it ended before it could write it.
    pub end: Option<Monotonic>,
    /// Whether another script of the same lane was alive when it started.
    pub beside_another: bool,
    /// How it is known that it was started.
    pub source: Source,
}

/// What the journal says of a run or of a setup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotedKind {
    /// The child of a run was made.
    Started {
        /// Its process number.
        pid: i32,
    },
    /// A setup was made without a script.
    Made,
}

/// An entry of the journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Noted {
    /// The script, or for a setup the one that would have made it.
    pub kind: ScriptKind,
    /// What of it.
    pub what: NotedKind,
    /// When it was read, a little after it was written.
    pub seen: Monotonic,
}

/// A run that an operator has asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Which script.
    pub kind: ScriptKind,
    /// When that was.
    pub at: Monotonic,
    /// The process that the service named, and when; `None` if the service ended before it could
    /// answer, so that nobody knows whether the script was run.
    pub started: Option<(i32, Monotonic)>,
}

/// The service said that nobody knows what happened to a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Which script.
    pub kind: ScriptKind,
    /// When it was said.
    pub when: Span,
    /// The code of the warning.
    pub code: String,
}

/// All that happened to one peer, each list in the order of time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerHistory {
    /// What scripts had to be run for.
    pub causes: Vec<Cause>,
    /// The scripts that were started.
    pub runs: Vec<ScriptRun>,
    /// The runs of which the service said that nobody knows.
    pub told: Vec<Told>,
    /// Whether the peer's record names `connect` or `disconnect`; `ifup` or `ifdown` it always
    /// names.
    pub has_connection: bool,
    /// Whether the peer's record names `on-up` and `on-down`.
    pub has_hooks: bool,
    /// Whether the record only names the script that undoes a setup: `ifdown` or `disconnect`.
    pub only_undone: ByLane<bool>,
    /// The runs that operators have asked for.
    pub asked: Vec<Asked>,
    /// Whether the server had it before the service was first started, which took it as it was.
    pub before_service: bool,
}

impl PeerHistory {
    /// How many scripts were started.
    pub fn scripts(&self) -> usize {
        let runs = self.runs.iter();
        runs.filter(|run| run.source != Source::Setup).count()
    }
}

/// All peers, by name.
pub type Histories = BTreeMap<String, PeerHistory>;

/// Something that was done to the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deed {
    /// When.
    pub at: Monotonic,
    /// What, in words.
    pub text: String,
}

/// The kind of script with this name.
pub fn script_kind(name: &str) -> Option<ScriptKind> {
    let mut kinds = ScriptKind::ALL.into_iter();
    kinds.find(|kind| kind.name() == name)
}
