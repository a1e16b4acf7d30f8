// SPDX-License-Identifier: GPL-3.0-or-later
//! The first database of a core that has joined the server without one: what has waited for it is
//! done now. Without records nobody knows which peers are to be checked, configured or added.

use connect_ipc::control::ServerLink;
use connect_ipc::setup::Pair;

use crate::machine::Machine;
use crate::machine::inheritance::Waiting;
use crate::machine::setups::progress::Progress;

impl Machine {
    /// There is a database now: what an earlier core has left comes before peers are adopted.
    /// Returns what is to be done afterwards.
    pub(in crate::machine) fn first_database_begins(&mut self) -> Waiting {
        let mut waiting = std::mem::take(&mut self.inheritance.waiting);
        self.restore_revivals(std::mem::take(&mut waiting.revivals));
        if let Some(restored) = &mut waiting.restored {
            self.remember_restored(restored);
        }
        waiting
    }

    /// The peers that the database has are adopted.
    pub(in crate::machine) fn first_database_ends(&mut self, waiting: Waiting) {
        if let Some(restored) = waiting.restored {
            self.restore_adoptions(restored);
        }
        if waiting.start_up {
            self.inheritance.waiting.start_up = true;
            // Otherwise it is done when the server has listed its peers.
            if self.link() == ServerLink::Up {
                self.start_up();
            }
        }
    }

    /// Configures and connects the peers for which that was due when no record was known.
    pub(in crate::machine) fn set_up_present(&mut self) {
        let unset = self.peers.iter().filter(|(_, peer)| {
            let progress = Pair::OF_PRESENCE.map(|pair| peer.setups.get(pair));
            peer.record.is_some() && progress == [Progress::NoScript; 2]
        });
        for id in unset.map(|(id, _)| id).collect::<Vec<_>>() {
            self.make(id, &Pair::OF_PRESENCE);
        }
    }
}
