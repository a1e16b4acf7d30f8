// SPDX-License-Identifier: GPL-3.0-or-later
//! What is taken off the queue before it was started: what would make a setup that is undone
//! meanwhile, and what would undo a setup that was never made.

use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, Run};
use connect_ipc::setup::SetupKey;

use super::{Machine, Output};
use crate::ledger::Unsettled;

impl Machine {
    /// Removes the runs from the queue again that a run undoes and that wait, and that run, too, if
    /// none of them was started.
    pub(super) fn spare(&mut self, run: &Run, out: &mut Vec<Output>) {
        for undone in &run.undoes {
            if self.ledger.order(*undone).is_some() {
                self.take_off(*undone);
                self.conclude(*undone, Ended::Stopped, out);
            }
        }
        if self.ledger.order(run.run).is_some() && self.undoes_nothing(run) {
            self.take_off(run.run);
            self.conclude(run.run, Ended::Stopped, out);
        }
    }

    /// Whether it is certain that a run has nothing to undo. What core has settled meanwhile may
    /// have been started.
    fn undoes_nothing(&self, run: &Run) -> bool {
        let never_started =
            |run: &RunId| self.ledger.run(*run).is_some_and(Unsettled::never_started);
        !run.undoes.is_empty() && run.undoes.iter().all(never_started)
    }

    /// What waits to make a setup that is undone meanwhile never begins.
    pub(super) fn drop_makers(&mut self, key: &SetupKey, out: &mut Vec<Output>) {
        let Some(undone) = self.ledger.undone_by(key) else {
            return;
        };
        let [maker, _] = key.pair.scripts();
        let waiting = self.queues.waiting_of(&key.peer, key.pair.lane());
        let is_maker = |run: &RunId| {
            let order = self.ledger.order(*run).filter(|_| *run < undone);
            order.is_some_and(|order| order.kind == maker)
        };
        let makers: Vec<RunId> = waiting.filter(is_maker).collect();
        for run in makers {
            self.take_off(run);
            self.conclude(run, Ended::Stopped, out);
        }
    }

    /// The run that waits to undo `run`, if nothing that it undoes was ever started.
    pub(super) fn undoing(&self, run: RunId) -> Option<RunId> {
        let known = self.ledger.run(run).filter(|known| known.never_started())?;
        let Unsettled { under_way, .. } = known;
        let mut waiting = self
            .queues
            .waiting_of(&under_way.peer, under_way.kind.lane());
        waiting.find(|other| {
            let order = self.ledger.order(*other);
            order.is_some_and(|order| order.undoes.contains(&run) && self.undoes_nothing(order))
        })
    }
}
