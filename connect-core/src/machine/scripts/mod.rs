// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper and its runs.
//!
//! ```text
//!   a peer comes, goes, is unreachable --> [orders] --Run--> script helper
//!   script helper --Started, Output, Ended--> [reports] --> [runs], warnings, events
//! ```

mod orders;
mod reports;
mod runs;

use std::collections::{BTreeMap, VecDeque};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{RecentScript, ScriptStatus};
use connect_ipc::scripts::UnderWay;

use super::helper::Helper;
use runs::{Recent, RunState};

/// The script helper and its runs.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) helper: Helper,
    /// What a script helper has told of runs under way, until it has told all.
    resumed: Vec<UnderWay>,
    runs: BTreeMap<RunId, RunState>,
    next_run: u64,
    /// The last scripts that ended, of whatever peer.
    recent: VecDeque<Recent>,
}

impl Scripts {
    /// No runs yet. The clock only grows, so no number of an earlier core is used again.
    pub(super) fn new(started: Monotonic) -> Self {
        Scripts {
            helper: Helper::default(),
            resumed: Vec::new(),
            runs: BTreeMap::new(),
            next_run: started.0,
            recent: VecDeque::new(),
        }
    }

    /// How many scripts are queued or under way.
    pub(super) fn pending(&self) -> u64 {
        self.runs.values().filter(|run| !run.ended).count() as u64
    }

    /// A peer's scripts, for operators.
    pub(super) fn of(&self, peer: &str, now: Monotonic) -> (Vec<ScriptStatus>, Vec<RecentScript>) {
        let pending = self
            .runs
            .values()
            .filter(|run| run.peer == peer && !run.ended)
            .map(|run| ScriptStatus {
                kind: run.kind,
                pid: run.child.map(|child| child.pid),
            })
            .collect();
        let recent = self
            .recent
            .iter()
            .filter(|script| script.peer == peer)
            .map(|script| RecentScript {
                kind: script.kind,
                end: script.end.clone(),
                ago: now.since(script.at).as_secs(),
                output: script.output.clone(),
            })
            .collect();
        (pending, recent)
    }
}
