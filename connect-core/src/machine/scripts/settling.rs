// SPDX-License-Identifier: GPL-3.0-or-later
//! Runs whose end core has dealt with: the script helper keeps each result until it is told so.

use std::collections::BTreeSet;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;

/// How long the helper may wait to be told, unless there is something else to tell it: a message of
/// its own for each run would wake it up once more.
const PAUSE: Duration = Duration::from_millis(20);

/// What was dealt with.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    /// The first run of this core.
    first: RunId,
    /// Runs that the helper is still to be told of.
    untold: Vec<RunId>,
    /// When it is to be told of them at the latest.
    due: Option<Monotonic>,
    /// Runs of earlier cores whose end this one has dealt with: a helper that died before it was
    /// told so has its successor repeat them.
    inherited: BTreeSet<RunId>,
}

impl Settling {
    pub(super) const fn new(first: RunId) -> Self {
        Settling {
            first,
            untold: Vec::new(),
            due: None,
            inherited: BTreeSet::new(),
        }
    }

    /// The end of a run was dealt with.
    pub(super) fn settle(&mut self, run: RunId, now: Monotonic) {
        self.untold.push(run);
        self.wake(now);
        if run < self.first {
            self.inherited.insert(run);
        }
    }

    /// There is something to tell the helper.
    pub(super) fn wake(&mut self, now: Monotonic) {
        self.due.get_or_insert(now + PAUSE);
    }

    /// When the helper is to be told at the latest.
    pub(super) const fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// What the helper is to be told.
    pub(super) fn take(&mut self) -> Vec<RunId> {
        self.due = None;
        std::mem::take(&mut self.untold)
    }

    /// Whether the end of a run that core does not know any more was dealt with by this core.
    pub(super) fn is_settled(&self, run: RunId) -> bool {
        run >= self.first || self.inherited.contains(&run)
    }

    /// A helper has told which runs it keeps: what it does not keep is not asked about again.
    pub(super) fn keep(&mut self, is_kept: impl Fn(RunId) -> bool) {
        self.inherited.retain(|run| is_kept(*run));
    }
}
