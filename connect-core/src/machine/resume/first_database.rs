// SPDX-License-Identifier: GPL-3.0-or-later
//! The first database of a core that has joined the server without one: what has waited for it is
//! done now. Without records nobody knows which peers are to be checked, configured or added.

use connect_ipc::control::ServerLink;

use crate::machine::Machine;
use crate::machine::inheritance::Waiting;

impl Machine {
    /// There is a database now: what an earlier core has left comes before peers are adopted.
    /// Returns what is to be done afterwards.
    pub(in crate::machine) fn first_database_begins(&mut self) -> Waiting {
        let mut waiting = std::mem::take(&mut self.inheritance.waiting);
        self.restore_revivals(std::mem::take(&mut waiting.revivals));
        self.decide_departures();
        if let Some(restored) = &mut waiting.restored {
            self.remember_restored(restored);
        }
        waiting
    }

    /// Adds peers again that may have left while there was no database.
    pub(in crate::machine) fn decide_departures(&mut self) {
        for name in self.peers.departures.may_have_left(&self.database.current) {
            self.revive_by_name(&name);
        }
    }

    /// The peers that the database has are adopted.
    pub(in crate::machine) fn first_database_ends(&mut self, waiting: Waiting) {
        // What is to be made and undone is known now.
        self.scripts.recovery.sweep();
        if let Some(restored) = waiting.restored {
            self.restore_adoptions(restored);
        }
        self.inheritance.waiting.starting = waiting.starting;
        self.continue_start_up();
        if waiting.start_up {
            self.inheritance.waiting.start_up = true;
            // Otherwise it is done when the server has listed its peers.
            if self.link() == ServerLink::Up {
                self.start_up();
            }
        }
    }
}
