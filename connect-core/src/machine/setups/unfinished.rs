// SPDX-License-Identifier: GPL-3.0-or-later
//! The setups of peers that are gone, as long as it is not certain that the script helper knows
//! that they are to be undone. They are saved for the next core: where the helper keeps nothing of
//! them, as of a peer that was there before the service, nobody else knows.

use connect_ipc::RunId;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::{Pair, SetupState};
use peerdb::{Database, Record};

use super::decision::{Now, decide};
use super::progress::{PeerSetups, Progress};
use super::recovery::{Gone, Undoing};
use super::remains::{Remains, pairs};
use crate::machine::Machine;
use crate::machine::inheritance::{PeerState, SavedRemains};
use crate::machine::peers::{Algorithms, Peer};
use crate::machine::scripts::Scripts;

impl Scripts {
    /// The pairs of a peer whose undoing was ordered, with the run of each, while the helper may
    /// not have the order.
    fn undoes(&self, peer: &str) -> impl DoubleEndedIterator<Item = (Pair, RunId)> {
        self.untaken_of(peer)
            .filter(|run| run.setup == Some(SetupState::Undone {}))
            .map(|run| (run.kind.pair(), run.run))
    }

    /// The undoing of a setup is about to be ordered.
    pub(super) fn note_undoing(&mut self, peer: &str, pair: Pair, remains: &Remains) {
        let is_first = self.undoes(peer).all(|(of, _)| of != pair);
        let by = self.next_run();
        let undoing = self.recovery.undoing.entry(peer.to_owned());
        let undoing = undoing.or_insert_with(|| Undoing {
            remains: remains.clone(),
            by,
        });
        // If several were added and removed, the first is the one that was set up.
        if is_first {
            let progress = remains.setups.get(pair);
            undoing.remains.setups.set(pair, progress);
        }
    }

    /// The helper has an order for a peer, or its run has ended.
    pub(in crate::machine) fn settle_undoing(&mut self, peer: &str) {
        // From the last, which is accepted last: the orders of one peer may be many.
        let waits = || self.undoes(peer).next_back().is_some();
        if self.recovery.undoing.contains_key(peer) && !waits() {
            self.recovery.undoing.remove(peer);
        }
    }
}

impl PeerState {
    /// The record that is needed to take the peer down, if the database does not have it any more:
    /// as an earlier core has saved it, or from the database that it used, if that was `kept`.
    fn removed_record(&self, kept: Option<&Database>) -> Option<Record> {
        let undoes = |pair| decide(self.setups.get(pair).past(), Now::Absent).undo;
        if !Pair::ALL.into_iter().any(undoes) {
            return None;
        }
        match &self.removed_record {
            Some(pairs) => Some(Record::new(&self.name, pairs.iter().cloned())),
            None => kept?.peer(&self.name).cloned(),
        }
    }
}

impl Machine {
    /// The setups that the next core must undo unless the helper says otherwise. `place` gives the
    /// place of a list of algorithms.
    pub(in crate::machine) fn unfinished(
        &self,
        mut place: impl FnMut(&Algorithms) -> usize,
    ) -> Vec<SavedRemains> {
        let recovery = &self.scripts.recovery;
        let undecided = recovery.gone().map(|(name, remains, gone)| {
            // Orders that the helper may not have are given again.
            let setups = self.scripts.certain(name, remains.setups);
            let gone_by = match gone {
                Gone::Earlier { by } => by,
                // Nothing was ordered for the peer since.
                Gone::Here => self.scripts.next_run(),
            };
            (name, setups, remains, gone_by)
        });
        let ordered = recovery.undoing.iter().filter_map(|(name, undoing)| {
            let remains = &undoing.remains;
            // What is to be undone may not have been made: then neither order is given again.
            let made = self.scripts.certain(name, remains.setups);
            let mut setups = PeerSetups::all(Progress::Idle);
            for (pair, _) in self.scripts.undoes(name) {
                setups.set(pair, made.get(pair));
            }
            let first = self.scripts.undoes(name).map(|(_, run)| run).min()?;
            Some((name, setups, remains, first.max(undoing.by)))
        });
        let undoes = |setups: &PeerSetups, pair| decide(setups.get(pair).past(), Now::Absent).undo;
        undecided
            .chain(ordered)
            .filter(|(_, setups, ..)| Pair::ALL.into_iter().any(|pair| undoes(setups, pair)))
            .map(|(name, setups, remains, gone_by)| SavedRemains {
                name: name.to_owned(),
                setups,
                record: remains.record.as_ref().map(pairs),
                algorithms: remains.algorithms.as_ref().map(&mut place),
                gone_by,
            })
            .collect()
    }

    /// The record of a peer that is gone: as the database has it now, or else as it was last known.
    fn record_left(&self, saved: &SavedRemains) -> Option<Record> {
        let current = self.database.current.peer(&saved.name).cloned();
        current.or_else(|| Some(Record::new(&saved.name, saved.record.clone()?)))
    }

    /// An earlier core has left these. `algorithms` are those of its state.
    pub(in crate::machine) fn restore_unfinished(
        &mut self,
        left: Vec<SavedRemains>,
        algorithms: &[Vec<(String, String)>],
    ) {
        for saved in left {
            let list = self.saved_algorithms(saved.algorithms, algorithms);
            let remains = Remains::left(saved.setups, self.record_left(&saved), list);
            let past = saved.setups.pasts();
            let recovery = &mut self.scripts.recovery;
            recovery.inherited(&saved.name, past, remains, saved.gone_by);
        }
    }

    /// An earlier core has left a peer in whose place this core has seen another one come.
    pub(in crate::machine) fn restore_replaced(
        &mut self,
        saved: &PeerState,
        algorithms: &[Vec<(String, String)>],
        kept: Option<&Database>,
    ) {
        let list = self.saved_algorithms(saved.algorithms, algorithms);
        let (record, _) = self.record_inherited(saved, kept);
        let remains = Remains::left(saved.setups, record, list);
        let past = saved.setups.pasts();
        self.scripts.recovery.removed(&saved.name, past, remains);
    }

    /// The record of a peer of an earlier core, and whether it was removed from the database since.
    pub(in crate::machine) fn record_inherited(
        &self,
        saved: &PeerState,
        kept: Option<&Database>,
    ) -> (Option<Record>, bool) {
        if let Some(record) = self.database.current.peer(&saved.name) {
            return (Some(record.clone()), false);
        }
        let removed = saved.removed_record(kept);
        let is_removed = removed.is_some();
        (removed, is_removed)
    }

    /// The algorithms at a place of the state's list.
    pub(in crate::machine) fn saved_algorithms(
        &mut self,
        place: Option<usize>,
        algorithms: &[Vec<(String, String)>],
    ) -> Option<Algorithms> {
        let list = algorithms.get(place?)?;
        Some(self.peers.share_algorithms(list.clone()))
    }

    /// The progress of a peer's setups, for the next core. If the peer is another one than the one
    /// that was set up, that one's is saved as unfinished.
    pub(in crate::machine) fn saved_setups(&self, peer: &Peer) -> PeerSetups {
        if self.scripts.recovery.another_since(peer.name()).is_some() {
            return PeerSetups::of_presence(Progress::Due);
        }
        self.scripts.certain(peer.name(), peer.setups.all())
    }

    /// If the `connect` command of a peer is to be run again, and the helper may not know that: the
    /// number from which on a run does that.
    pub(in crate::machine) fn connect_again(&self, peer: &Peer) -> Option<RunId> {
        let name = peer.name();
        if let Some(by) = self.scripts.recovery.awaited.get(name) {
            return Some(*by);
        }
        let orders = self.scripts.untaken_of(name).rev();
        let mut orders = orders.filter(|run| run.kind.pair() == Pair::Connection);
        let last = orders.next()?;
        let is_made_again = self.saved_setups(peer).get(Pair::Connection) != Progress::Due;
        (last.kind == ScriptKind::Connect && is_made_again).then_some(last.run)
    }

    /// The first run that is for this peer, if none is certain to have been ordered.
    pub(in crate::machine) fn since(&self, peer: &Peer) -> Option<RunId> {
        let next = self.scripts.next_run();
        match self.scripts.recovery.another_since(peer.name()) {
            Some(Gone::Earlier { by }) => return Some(by),
            Some(Gone::Here) => return Some(next),
            // Nothing is decided, so what the helper keeps may be this peer's.
            None if self.scripts.recovery.cause(peer.name()).is_some() => return None,
            None => {}
        }
        let certain = self.scripts.certain(peer.name(), peer.setups.all());
        let is_due = |pair| certain.get(pair) == Progress::Due;
        let ordered = Pair::OF_PRESENCE.map(|pair| match peer.setups.get(pair) {
            Progress::Ordered { first, .. } => first,
            _ => next,
        });
        let is_unmade = |pair| is_due(pair) || certain.get(pair) == Progress::NoScript;
        let is_open = Pair::OF_PRESENCE.into_iter().all(is_unmade)
            && Pair::OF_PRESENCE.into_iter().any(is_due);
        is_open.then(|| ordered.into_iter().min().unwrap_or(next))
    }
}
