// SPDX-License-Identifier: GPL-3.0-or-later
//! Spreading checks that became due while nobody could ping, so that the server does not receive
//! all of them at once.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::PingPhase;

/// The time between two overdue checks: with a thousand a second the server has time for its own
/// work, and a few peers are still checked at once.
const SPACING: Duration = Duration::from_millis(1);

/// Gives overdue peers instants of their own. Take peers in the order of their numbers, so that
/// core and the pinger come to the same instants.
#[derive(Debug)]
pub struct CatchUp {
    now: Monotonic,
    next: Monotonic,
}

impl CatchUp {
    /// Pings are possible again from `now` on.
    #[must_use]
    pub const fn new(now: Monotonic) -> Self {
        CatchUp { now, next: now }
    }

    /// Voids a ping that is under way, which the server will not answer any more, and moves an
    /// overdue check to the next free instant. A ping that is not due yet is due as before. Returns
    /// whether the deadline has changed.
    pub fn apply(&mut self, phase: &mut PingPhase) -> bool {
        if take_back(phase, self.now) {
            return true;
        }
        let voided = phase.in_flight.take().is_some();
        let moved = voided || phase.due <= self.now;
        if moved {
            phase.due = self.instant();
        }
        moved
    }

    /// The next free instant.
    pub fn instant(&mut self) -> Monotonic {
        let instant = self.next;
        self.next = self.next + SPACING;
        instant
    }
}

/// Takes back a ping that was ordered and is not due at `now`, so that it was not sent. Returns
/// whether there was one.
pub(crate) fn take_back(phase: &mut PingPhase, now: Monotonic) -> bool {
    let is_ahead = phase.in_flight.is_some() && phase.due > now;
    if is_ahead {
        phase.in_flight = None;
        // A check begins with its first ping.
        phase.checking = phase.failures > 0;
    }
    is_ahead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_overdue_or_was_sent_is_put_a_millisecond_apart_and_nothing_else_moves() {
        let now = Monotonic(1_000_000_000);
        let later = now + Duration::from_secs(1);
        let phase = |due, in_flight| PingPhase {
            due,
            in_flight,
            ..PingPhase::default()
        };
        let mut phases = [
            phase(Monotonic(1), None),
            phase(later, None),
            phase(now, Some(7)),
            phase(later, Some(8)),
        ];
        let mut catch_up = CatchUp::new(now);
        let moved = phases.each_mut().map(|phase| catch_up.apply(phase));
        assert_eq!(moved, [true, false, true, true]);
        assert_eq!(
            phases.map(|phase| (phase.due, phase.in_flight)),
            [
                (now, None),
                (later, None),
                (now + SPACING, None),
                (later, None)
            ]
        );
    }
}
