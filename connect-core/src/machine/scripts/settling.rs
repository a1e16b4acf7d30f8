// SPDX-License-Identifier: GPL-3.0-or-later
//! Runs whose end core has processed: the script helper keeps each result until it is told so.

use std::collections::BTreeSet;
use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::Run;

/// How long to wait before telling the helper, unless there is another message for it: a separate
/// message for each run would wake it once more.
const PAUSE: Duration = Duration::from_millis(20);

/// How many runs are remembered that were never started. A later helper knows nothing of it only if
/// its journal has lost its last entries, which are about the last runs.
const UNSTARTED: usize = 1000;

/// What was processed.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    /// The first run of this core.
    first: RunId,
    /// Runs that the helper has not been told yet.
    untold: Vec<RunId>,
    /// When it must be told.
    due: Option<Monotonic>,
    /// Runs of earlier cores whose end this core has processed. If the helper ends before it is
    /// told so, or its journal loses that, the next helper reports them again. There are no more
    /// than earlier cores had ordered at their end.
    inherited: BTreeSet<RunId>,
    /// Of the runs whose end was processed, the last that were never started.
    unstarted: BTreeSet<RunId>,
}

impl Settling {
    pub(super) const fn new(first: RunId) -> Self {
        Settling {
            first,
            untold: Vec::new(),
            due: None,
            inherited: BTreeSet::new(),
            unstarted: BTreeSet::new(),
        }
    }

    /// The end of a run was processed.
    pub(super) fn settle(&mut self, run: RunId, now: Monotonic) {
        self.untold.push(run);
        self.wake(now);
        if run < self.first {
            self.inherited.insert(run);
        }
    }

    /// A run has ended that was never started.
    pub(super) fn never_started(&mut self, run: RunId) {
        self.unstarted.insert(run);
        if self.unstarted.len() > UNSTARTED {
            self.unstarted.pop_first();
        }
    }

    /// Whether a run whose end was processed was never started, as far as that is remembered.
    pub(super) fn was_never_started(&self, run: RunId) -> bool {
        self.unstarted.contains(&run)
    }

    /// An order for a helper that may not know the runs that it undoes, and whether it is certain
    /// that none of them was started.
    pub(super) fn certain(&self, mut order: Run) -> (Run, bool) {
        let was_started = |run: &RunId| !self.was_never_started(*run);
        if order.undoes.iter().any(was_started) {
            order.undoes.retain(was_started);
            return (order, false);
        }
        // It is not sent without them, since such an order is for something to undo.
        let undoes_nothing = !order.undoes.is_empty();
        (order, undoes_nothing)
    }

    /// There is something to tell the helper.
    pub(super) fn wake(&mut self, now: Monotonic) {
        self.due.get_or_insert(now + PAUSE);
    }

    /// When the helper must be told.
    pub(super) const fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// What to tell the helper.
    pub(super) fn take(&mut self) -> Vec<RunId> {
        self.due = None;
        std::mem::take(&mut self.untold)
    }

    /// Whether this core has processed the end of a run that it does not know any more.
    pub(super) fn is_settled(&self, run: RunId) -> bool {
        run >= self.first || self.inherited.contains(&run)
    }
}
