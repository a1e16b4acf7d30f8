// SPDX-License-Identifier: GPL-3.0-or-later
//! The setups of peers that are gone, as long as it is not certain that the script helper knows
//! that they are to be undone. They are saved for the next core: where the helper keeps nothing of
//! them, as of a peer that was there before the service, nobody else knows.

use std::collections::BTreeMap;

use connect_ipc::setup::{Pair, SetupState};

use super::decision::{Now, decide};
use super::progress::{PeerSetups, Progress};
use super::remains::Remains;
use crate::machine::Machine;
use crate::machine::inheritance::PeerState;
use crate::machine::peers::Algorithms;
use crate::machine::scripts::Scripts;

/// What is left of peers whose undoing was ordered, by name.
pub(super) type Undoing = BTreeMap<String, Remains>;

impl Scripts {
    /// The pairs of a peer whose undoing was ordered, while the helper may not have the order.
    fn undoes(&self, peer: &str) -> impl Iterator<Item = Pair> {
        self.untaken_of(peer)
            .filter(|run| run.setup == Some(SetupState::Undone {}))
            .map(|run| run.kind.pair())
    }

    /// The helper has an order for a peer, or its run has ended.
    pub(in crate::machine) fn settle_undoing(&mut self, peer: &str) {
        if self.recovery.undoing.contains_key(peer) && self.undoes(peer).next().is_none() {
            self.recovery.undoing.remove(peer);
        }
    }
}

impl Machine {
    /// The setups that the next core must undo unless the helper says otherwise. `place` gives the
    /// place of a list of algorithms.
    pub(in crate::machine) fn unfinished(
        &self,
        mut place: impl FnMut(&Algorithms) -> usize,
    ) -> Vec<PeerState> {
        let recovery = &self.scripts.recovery;
        let undecided = recovery.gone().map(|(name, remains)| {
            // Orders that the helper may not have are given again.
            (name, self.scripts.certain(remains.setups), remains)
        });
        let ordered = recovery.undoing.iter().map(|(name, remains)| {
            let mut setups = PeerSetups::all(Progress::Idle);
            for pair in self.scripts.undoes(name) {
                setups.set(pair, Progress::Made);
            }
            (name, setups, remains)
        });
        let is_needed = |setups: &PeerSetups| {
            Pair::ALL.map(|pair| decide(setups.get(pair).past(), Now::Absent).undo)
        };
        undecided
            .chain(ordered)
            .filter(|(_, setups, _)| is_needed(setups).contains(&true))
            .map(|(name, setups, remains)| PeerState {
                name: name.to_owned(),
                setups,
                algorithms: remains.algorithms.as_ref().map(&mut place),
                adoption: None,
            })
            .collect()
    }

    /// An earlier core has left these. `algorithms` are those of its state.
    pub(in crate::machine) fn restore_unfinished(
        &mut self,
        left: Vec<PeerState>,
        algorithms: &[Vec<(String, String)>],
    ) {
        for saved in left {
            let list = saved.algorithms.and_then(|place| algorithms.get(place));
            let list = list.map(|list| self.peers.share_algorithms(list.clone()));
            let remains = Remains {
                setups: saved.setups,
                record: self.database.current.peer(&saved.name).cloned(),
                in_use: None,
                algorithms: list,
                ifname: None,
                address: None,
                occasion: None,
            };
            let past = saved.setups.pasts();
            self.scripts.recovery.removed(&saved.name, past, remains);
        }
    }
}
