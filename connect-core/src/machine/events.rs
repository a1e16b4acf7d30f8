// SPDX-License-Identifier: GPL-3.0-or-later
//! Telling observers what happens, at no cost while there are none.

use connect_ipc::event::{Event, EventKind};

use super::Machine;

impl Machine {
    /// Whether anybody wants events; the loop says so before each turn.
    pub fn set_observed(&mut self, observed: bool) {
        self.observed = observed;
    }

    /// So many events were left out for slow observers.
    pub fn events_dropped(&mut self, events: u64) {
        self.counters.events_dropped += events;
    }

    /// Numbers an event and puts it out, if anybody wants it. The loop sets its time.
    pub(super) fn emit(&mut self, peer: Option<&str>, kind: impl FnOnce() -> EventKind) {
        self.last_event += 1;
        if self.observed {
            let peer = peer.map(str::to_owned);
            self.out.events.push(Event {
                seq: self.last_event,
                at: 0,
                peer,
                kind: kind(),
            });
        }
    }
}
