// SPDX-License-Identifier: GPL-3.0-or-later
//! The numbers and times of events, and what is counted.

use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::control::Counters;

/// The numbering of events, and their time.
#[derive(Debug, Default)]
pub(super) struct Events {
    observed: bool,
    last: u64,
    /// What the wall clock showed at an instant: milliseconds since 1970.
    clock: (Monotonic, u64),
    pub(super) counters: Counters,
}

impl Events {
    /// The number and time of the next event, whether or not anybody wants it.
    pub(super) fn next(&mut self, now: Monotonic) -> (u64, u64) {
        self.last += 1;
        (self.last, self.wall_clock(now))
    }

    /// Whether anybody wants events.
    pub(super) const fn is_observed(&self) -> bool {
        self.observed
    }

    pub(super) fn set_observed(&mut self, observed: bool) {
        self.observed = observed;
    }

    /// This many events were not sent to slow observers.
    pub(super) fn drop_counted(&mut self, events: u64) {
        let dropped = &mut self.counters.events_dropped;
        *dropped = dropped.saturating_add(events);
    }

    /// The number of the latest event.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// The wall clock shows `millis` at `now`.
    pub(super) fn set_clock(&mut self, now: Monotonic, millis: u64) {
        self.clock = (now, millis);
    }

    /// What the wall clock shows at `now`.
    fn wall_clock(&self, now: Monotonic) -> u64 {
        let (then, shown) = self.clock;
        shown.saturating_add(millis(now.since(then)))
    }
}
