// SPDX-License-Identifier: GPL-3.0-or-later
//! What is remembered of a run of a script after its end.

use connect_ipc::clock::Monotonic;
use connect_ipc::control::RecentScript;
use connect_ipc::scripts::{Ended, ScriptKind};
use serde::{Deserialize, Serialize};

/// A run that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::machine) struct EndedRun {
    pub(super) peer: String,
    /// When it ended.
    pub(super) at: Monotonic,
    pub(super) kind: ScriptKind,
    pub(super) end: Ended,
    /// Its last lines.
    pub(super) output: Vec<String>,
}

impl EndedRun {
    /// The run, for operators.
    pub(super) fn report(&self, now: Monotonic) -> RecentScript {
        RecentScript {
            kind: self.kind,
            end: self.end.clone(),
            ago: now.since(self.at).as_secs(),
            output: self.output.clone(),
        }
    }
}
