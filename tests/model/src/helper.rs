// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper: the product's machine, its outbox, and what it has decided and not done yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use connect_ifscripts::ledger::{Entry, Ledger};
use connect_ifscripts::machine::{Input, Machine, Output};
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::Child;
use connect_ipc::setup::ByLane;

/// A process of the script helper.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    machine: Machine,
    pub(crate) outbox: Outbox,
    pub(crate) pending: VecDeque<Output>,
    pub(crate) is_connected: bool,
    /// The children that it watches, and whether it has adopted them.
    pub(crate) watched: BTreeMap<RunId, bool>,
}

impl Helper {
    /// A process that has read this journal, and has found those of its children that were being
    /// started.
    pub(crate) fn start(journal: &[Entry], living: &BTreeSet<RunId>) -> Self {
        let mut ledger = Ledger::default();
        for entry in journal {
            ledger.apply(entry);
        }
        let being_started = ledger.being_started();
        let found: BTreeMap<RunId, Child> = being_started
            .filter(|(run, _)| living.contains(run))
            .map(|(run, _)| (run, child(run)))
            .collect();
        let mut out = Vec::new();
        let bounds = ByLane {
            interface: 2,
            connection: 2,
        };
        let machine = Machine::recovered(bounds, ledger, &found, &mut out);
        Helper {
            machine,
            outbox: Outbox::default(),
            pending: out.into(),
            is_connected: false,
            watched: BTreeMap::new(),
        }
    }

    /// Hands in an input. What follows from it is done before what else is to be done.
    pub(crate) fn feed(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(input, Monotonic(1), &mut out);
        for output in out.into_iter().rev() {
            self.pending.push_front(output);
        }
    }

    /// Whether a run waits for its turn.
    pub(crate) fn has_waiting(&self) -> bool {
        self.machine.waiting() > 0
    }
}

/// The child of a run.
pub(crate) fn child(run: RunId) -> Child {
    Child {
        pid: i32::try_from(run.0 % 1_000_000).unwrap_or(1) + 1,
        start_time: run.0,
    }
}
