// SPDX-License-Identifier: GPL-3.0-or-later
//! What happened to a peer: what the server said of it, what its scripts did, and what the service
//! said of them.

use std::collections::BTreeMap;

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;

/// When something happened that was seen a little later: not before `from`, not after `to`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) from: Monotonic,
    pub(crate) to: Monotonic,
}

/// What scripts are run for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CauseKind {
    /// The server has added the peer.
    Added,
    /// The server does not have the peer any more.
    Removed,
    /// The service reconnects the peer.
    Reconnecting,
}

/// One cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cause {
    pub(crate) kind: CauseKind,
    pub(crate) when: Span,
    pub(crate) certainty: Certainty,
}

/// What is known about a cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Certainty {
    /// It happened, and the service had the peer's record.
    Certain,
    /// It happened, but the service may not have had the peer's record: the database was faulty, or
    /// did not have the peer.
    WithoutRecord,
    /// It may have happened just before the server was killed.
    LastMoment,
}

/// One script that was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ScriptRun {
    pub(crate) kind: ScriptKind,
    /// Its number, if the service has told it.
    pub(crate) number: Option<u64>,
    pub(crate) pid: i32,
    pub(crate) start: Monotonic,
    /// `None` if it did not live to write it down.
    pub(crate) end: Option<Monotonic>,
    /// Whether another script of the same lane was alive when it started.
    pub(crate) beside_another: bool,
}

/// The service said that nobody knows what became of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) kind: ScriptKind,
    pub(crate) when: Span,
    /// The code of the warning.
    pub(crate) code: String,
}

/// All that happened to one peer, each list in the order of time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct PeerHistory {
    pub(crate) causes: Vec<Cause>,
    pub(crate) runs: Vec<ScriptRun>,
    pub(crate) told: Vec<Told>,
    /// Whether the peer's record names `connect` and `disconnect`; `ifup` and `ifdown` it always
    /// names.
    pub(crate) has_connection: bool,
    /// Whether the server had it before the service was first started.
    pub(crate) before_service: bool,
}

/// All peers, by name.
pub(crate) type Histories = BTreeMap<String, PeerHistory>;

/// Something that was done to the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Deed {
    pub(crate) at: Monotonic,
    pub(crate) text: String,
}

/// The kind of script with this name.
pub(crate) fn script_kind(name: &str) -> Option<ScriptKind> {
    [
        ScriptKind::Ifup,
        ScriptKind::Ifdown,
        ScriptKind::Connect,
        ScriptKind::Disconnect,
    ]
    .into_iter()
    .find(|kind| kind.name() == name)
}
