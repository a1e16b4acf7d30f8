// SPDX-License-Identifier: GPL-3.0-or-later
//! The runs that have not ended, or whose output has not, by number and by peer, and how many there
//! are of each kind.
//!
//! After a restart of the server there may be a run for each of very many peers. So nothing that is
//! needed for one peer, or in each turn, goes through all runs.

mod left;
mod run_state;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::{Child, Run, ScriptKind};
use connect_ipc::setup::{ByLane, Lane, Pair};

use crate::machine::requester::OperatorRequest;
use left::Left;
pub(super) use run_state::{Challenge, RunState};

/// How many runs of a lane have not ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct LaneCounts {
    /// Those whose child was started.
    pub(super) running: u64,
    /// Those whose child was not.
    pub(super) waiting: u64,
}

/// What is known of all runs without going through them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Index {
    /// Those of each peer that has any, the oldest first. Its order is never used.
    by_peer: HashMap<Box<str>, Vec<RunId>>,
    /// Those that have ended but whose output has not.
    ended: BTreeSet<RunId>,
    counts: ByLane<LaneCounts>,
    /// How many that operators requested have not ended.
    requested: usize,
}

impl Index {
    /// The count that a run is part of; `None` if it has ended.
    fn count_of(&mut self, run: &RunState) -> Option<&mut u64> {
        let counts = self.counts.get_mut(run.kind.lane());
        let count = match run.child() {
            Some(_) => &mut counts.running,
            None => &mut counts.waiting,
        };
        (!run.has_ended()).then_some(count)
    }

    /// Counts a run.
    fn count(&mut self, id: RunId, run: &RunState) {
        match self.count_of(run) {
            Some(count) => *count += 1,
            None => {
                self.ended.insert(id);
            }
        }
        self.requested += usize::from(run.asked_by().is_some());
    }

    /// The opposite of [`Index::count`].
    fn discount(&mut self, id: RunId, run: &RunState) {
        match self.count_of(run) {
            Some(count) => *count -= 1,
            None => {
                self.ended.remove(&id);
            }
        }
        self.requested -= usize::from(run.asked_by().is_some());
    }

    fn insert(&mut self, id: RunId, run: &RunState) {
        self.count(id, run);
        let runs = self.by_peer.entry(run.peer.as_str().into()).or_default();
        runs.insert(runs.partition_point(|other| *other < id), id);
    }

    fn remove(&mut self, id: RunId, run: &RunState) {
        self.discount(id, run);
        if let Some(runs) = self.by_peer.get_mut(run.peer.as_str()) {
            runs.retain(|other| *other != id);
            if runs.is_empty() {
                self.by_peer.remove(run.peer.as_str());
            }
        }
    }
}

/// The runs.
#[derive(Clone, Debug, Default)]
pub(super) struct RunTable {
    runs: BTreeMap<RunId, RunState>,
    index: Index,
    left: Left,
}

impl RunTable {
    /// Adds a run.
    pub(super) fn insert(&mut self, id: RunId, run: RunState) {
        self.remove(id);
        self.index.insert(id, &run);
        self.runs.insert(id, run);
    }

    /// Forgets a run.
    pub(super) fn remove(&mut self, id: RunId) {
        if let Some(run) = self.runs.remove(&id) {
            self.index.remove(id, &run);
        }
    }

    /// Changes a run, and updates the index.
    fn change<T>(&mut self, id: RunId, change: impl FnOnce(&mut RunState) -> T) -> Option<T> {
        let run = self.runs.get_mut(&id)?;
        self.index.discount(id, run);
        let result = change(run);
        self.index.count(id, run);
        Some(result)
    }

    /// The child of a run was started at `since`.
    pub(super) fn start(&mut self, id: RunId, child: Child, since: Monotonic) {
        self.change(id, |run| run.started(child, since));
    }

    /// A run has ended. Returns it, and the operator who requested it; `None` if it is not known or
    /// had ended before.
    pub(super) fn end(&mut self, id: RunId) -> Option<(&mut RunState, Option<OperatorRequest>)> {
        self.left.remove(id);
        let asked_by = self.change(id, RunState::end)??;
        Some((self.runs.get_mut(&id)?, asked_by))
    }

    /// The order of a run of which no helper can know.
    pub(super) fn unsent_order(&mut self, run: RunId) -> Option<&mut Run> {
        let state = self.runs.get_mut(&run).filter(|state| state.is_unsent())?;
        state.order.as_mut().map(|order| &mut order.run)
    }

    /// Marks the `connect` commands of a peer as to be ended, and returns those that were not
    /// marked.
    pub(super) fn stop_connect(&mut self, peer: &str) -> Vec<RunId> {
        let mut stop = self.left.take(peer);
        let ids = self.index.by_peer.get(peer).into_iter().flatten();
        let stops = |id: &&RunId| {
            let run = self.runs.get_mut(id);
            run.is_some_and(|run| run.kind == ScriptKind::Connect && run.stop())
        };
        stop.extend(ids.filter(stops));
        stop
    }

    /// The helper has a `connect` command that core took for lost.
    pub(super) fn leave(&mut self, peer: String, id: RunId) {
        self.left.add(peer, id);
    }

    /// Another helper is about to say what it has.
    pub(super) fn forget_left(&mut self) {
        self.left = Left::default();
    }

    /// Marks the `connect` commands of a peer as to be ended that another command of its follows,
    /// and returns those that were not marked.
    pub(super) fn stop_followed_connects(&mut self, peer: &str) -> Vec<RunId> {
        let mut stop = Vec::new();
        let pending = self.pending_of(peer);
        let commands = pending.filter(|(_, run)| run.kind.pair() == Pair::Connection);
        let mut commands: Vec<RunId> = commands.map(|(id, _)| id).collect();
        if let Some(last) = commands.pop() {
            stop = self.left.take_before(peer, last);
        }
        commands.retain(|id| {
            let run = self.runs.get_mut(id);
            run.is_some_and(|run| run.kind == ScriptKind::Connect && run.stop())
        });
        stop.extend(commands);
        stop
    }

    /// Forgets the runs that have ended but whose output has not.
    pub(super) fn forget_ended(&mut self) {
        for id in std::mem::take(&mut self.index.ended) {
            self.remove(id);
        }
    }

    /// Forgets the oldest runs that have ended but whose output has not, if there are more than
    /// `limit`.
    pub(super) fn bound_ended(&mut self, limit: usize) {
        while self.index.ended.len() > limit
            && let Some(oldest) = self.index.ended.first().copied()
        {
            self.remove(oldest);
        }
    }

    /// The run of this number.
    pub(super) fn get(&self, id: RunId) -> Option<&RunState> {
        self.runs.get(&id)
    }

    /// As [`RunTable::get`], to change what is not counted.
    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut RunState> {
        self.runs.get_mut(&id)
    }

    /// Whether a run is known and has not ended.
    pub(super) fn is_pending(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| !run.has_ended())
    }

    /// All runs, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RunId, &RunState)> {
        self.runs.iter().map(|(id, run)| (*id, run))
    }

    /// As [`RunTable::iter`], to change what is not counted.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut RunState> {
        self.runs.values_mut()
    }

    /// The runs of a peer, the oldest first.
    pub(super) fn of(&self, peer: &str) -> impl DoubleEndedIterator<Item = (RunId, &RunState)> {
        let ids = self.index.by_peer.get(peer).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.runs.get(id)?)))
    }

    /// The runs of a peer that have not ended, the oldest first.
    pub(super) fn pending_of(
        &self,
        peer: &str,
    ) -> impl DoubleEndedIterator<Item = (RunId, &RunState)> {
        self.of(peer).filter(|(_, run)| !run.has_ended())
    }

    /// How many runs of a lane have not ended.
    pub(super) const fn counts(&self, lane: Lane) -> LaneCounts {
        *self.index.counts.get(lane)
    }

    /// How many runs that operators requested have not ended.
    pub(super) const fn requested(&self) -> usize {
        self.index.requested
    }

    /// Compares the index with all runs.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut recount = Index::default();
        for (id, run) in self.iter() {
            recount.insert(id, run);
        }
        assert_eq!(self.index, recount);
    }
}
