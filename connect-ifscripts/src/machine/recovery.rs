// SPDX-License-Identifier: GPL-3.0-or-later
//! The state in which a new helper begins, from the journal and from the children that exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, FromScripts};
use connect_ipc::setup::ByLane;

use crate::ledger::{Entry, Ledger, Stage, Unsettled};
use crate::machine::{Machine, Output, ended, no_output};

impl Machine {
    /// A machine that continues where the writer of a journal was when it died. `found` has the
    /// children of the runs that were just being started ([`Ledger::being_started`]).
    ///
    /// - A run that waits is queued again.
    /// - One with a child is adopted, as is one that was being started if its child is found.
    /// - One whose child is not found may have run and ended: it is lost, and is not run again.
    /// - Core gets the end of each run that it has not settled.
    #[must_use]
    pub fn recovered(
        bounds: ByLane<usize>,
        ledger: Ledger,
        found: &BTreeMap<RunId, Child>,
        out: &mut Vec<Output>,
    ) -> Self {
        let mut machine = Machine::new(bounds);
        machine.ledger = ledger;
        let runs: Vec<Unsettled> = machine.ledger.runs().cloned().collect();
        for run in &runs {
            machine.resume(run, found, out);
        }
        // Only now are all runs queued that one of these may undo.
        for run in &runs {
            if let Stage::Waiting(order) = &run.stage {
                machine.spare_waiting(order.run, out);
            }
        }
        machine
    }

    fn resume(&mut self, known: &Unsettled, found: &BTreeMap<RunId, Child>, out: &mut Vec<Output>) {
        let under_way = &known.under_way;
        let run = under_way.run;
        out.push(Output::Accepted(under_way.clone()));
        match &known.stage {
            Stage::Waiting(order) => {
                self.queue(order, out);
            }
            Stage::Starting(_) => match found.get(&run).copied() {
                Some(child) => {
                    self.hold(under_way);
                    self.note(Entry::Started { run, child }, out);
                    out.push(Output::ToCore(FromScripts::Started { run, child }));
                    out.push(Output::Adopt { run, child });
                }
                None => {
                    self.conclude(run, Ended::Lost, out);
                    no_output(run, out);
                }
            },
            Stage::Started {} => {
                self.hold(under_way);
                if let Some(since) = known.survives {
                    out.push(Output::ToCore(FromScripts::Survives { run, since }));
                }
                if let Some(child) = under_way.child {
                    out.push(Output::Adopt { run, child });
                }
            }
            Stage::Ended(end) => {
                out.push(Output::ToCore(ended(run, end.clone())));
                // Processes that it left behind may write, but nobody reads that.
                no_output(run, out);
            }
        }
    }

    /// Like [`Machine::spare`], unless the run is already over.
    fn spare_waiting(&mut self, run: RunId, out: &mut Vec<Output>) {
        if let Some(order) = self.ledger.order(run).map(Arc::clone) {
            self.spare(&order, out);
            self.drop_makers(&order.setup_key(), out);
        }
    }
}
