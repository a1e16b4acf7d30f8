// SPDX-License-Identifier: GPL-3.0-or-later
//! The numbers and times of events, counters, and observers.

use std::collections::VecDeque;

use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::control::Counters;
use connect_ipc::event::{Event, EventKind};

use super::observing::Observing;
use crate::for_people::ForPeople;

/// How many events are remembered for later observers: more than a screen shows.
const RECENT: usize = 100;

/// How long the words of a command may be for it to be remembered. Longer ones, which could be as
/// long as a message, are of no use to a reader.
const MAX_WORDS: usize = 1024;

/// The numbering of events, and their time.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    last: ForPeople<u64>,
    /// What the wall clock showed at an instant: milliseconds since 1970.
    clock: (Monotonic, u64),
    pub(super) counters: ForPeople<Counters>,
    /// The observers.
    pub(super) observing: Observing,
    /// The latest events, with the instant of each.
    recent: ForPeople<VecDeque<(Monotonic, Event)>>,
}

impl Events {
    /// The number and time of the next event, whether or not anybody wants it.
    pub(super) fn next(&mut self, now: Monotonic) -> (u64, u64) {
        *self.last += 1;
        (*self.last, self.wall_clock(now))
    }

    /// Remembers an event.
    pub(super) fn remember(&mut self, now: Monotonic, event: Event) {
        if let EventKind::Command { words, .. } = &event.kind
            && words.iter().map(String::len).sum::<usize>() > MAX_WORDS
        {
            return;
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, event));
    }

    /// The latest events, oldest first, with their times by the present wall clock, which may have
    /// been set since.
    pub(super) fn recent(&self) -> Vec<Event> {
        let event = |(at, event): &(Monotonic, Event)| Event {
            at_ms: self.wall_clock(*at),
            ..event.clone()
        };
        self.recent.iter().map(event).collect()
    }

    /// This many events were not sent to slow observers.
    pub(super) fn drop_counted(&mut self, events: u64) {
        let dropped = &mut self.counters.events_dropped;
        *dropped = dropped.saturating_add(events);
    }

    /// The number of the latest event.
    pub(super) const fn last(&self) -> u64 {
        self.last.0
    }

    /// The wall clock shows `millis` at `now`.
    pub(super) fn set_clock(&mut self, now: Monotonic, millis: u64) {
        self.clock = (now, millis);
    }

    /// What the wall clock shows at `now`.
    pub(super) fn wall_clock(&self, now: Monotonic) -> u64 {
        let (then, shown) = self.clock;
        // The instant may be before the one at which the clock was set.
        shown
            .saturating_add(millis(now.since(then)))
            .saturating_sub(millis(then.since(now)))
    }
}
