// SPDX-License-Identifier: GPL-3.0-or-later
//! When something is done to the service that may keep it from running scripts.

use connect_ipc::clock::Monotonic;

use super::{Run, World};
use crate::world::service::Part;

impl Run {
    /// Notes whether the service can run scripts at this moment. That comes first in a turn, before
    /// any fault ends: what was done since the last turn is seen.
    pub(super) fn look_at_health(&mut self, now: Monotonic) {
        let seen = if self.is_disturbed() {
            None
        } else {
            self.load.observers.first().and_then(|observer| {
                let stream = &observer.seen().stream;
                stream.is_live().then(|| (stream.view(), stream.events))
            })
        };
        self.load.health.look(seen, now);
    }

    /// Whether something is known that may keep the service from running scripts. What ends
    /// connections is told by the events.
    fn is_disturbed(&self) -> bool {
        let World {
            site, lab, service, ..
        } = &self.world;
        // A helper waits until an earlier one has ended, which waits for its scripts.
        let pids = self.later.held_up().chain(self.danger.ending());
        let mut pids = pids.peekable();
        // The pinger is not needed for scripts.
        let is_held_up = pids.peek().is_some() && {
            let pinger = service.pid(Part::Pinger);
            pids.any(|pid| Some(pid) != pinger)
        };
        is_held_up
            || lab.pid().is_none()
            || site.volume.is_full()
            || self.database.is_faulty()
            || !self.is_journal_safe()
            || service.has_former()
    }
}
