// SPDX-License-Identifier: GPL-3.0-or-later
//! What is known of overdue orders and answers, and of times in which something did not run.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::overdue::OverdueCause;

use super::limits::STANDSTILL;

/// The time between two looks, so that thousands of overdue things cost one wake-up a second.
const SPACING: Duration = Duration::from_secs(1);

/// What was found at the last look, and what is needed for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When the next look may be.
    look_from: Monotonic,
    /// If no turn has ended until this instant, core may not have run.
    pause_at: Monotonic,
    /// Until when core or the host did not run: what was due before that does not count as late.
    pub(super) held_until: Monotonic,
    /// Until when anything that a ping needs did not run.
    pub(super) still_until: Monotonic,
    pub(super) found: Found,
    /// Since when a report of the script helper is due, as observers were told, until a helper
    /// answers.
    pub(super) silent_scripts: Option<Monotonic>,
}

/// For each process from which something is due, since when it is overdue; `None` if it is not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The oldest check or answer of a peer.
    pub(super) oldest: Option<Monotonic>,
    /// Why; also if only something else is due from the server.
    pub(super) cause: Option<OverdueCause>,
    pub(super) server: Option<Monotonic>,
    pub(super) pinger: Option<Monotonic>,
    pub(super) scripts: Option<Monotonic>,
}

impl Found {
    /// Whether anything is overdue.
    pub(super) const fn is_any(&self) -> bool {
        self.cause.is_some()
            || self.oldest.is_some()
            || self.pinger.is_some()
            || self.scripts.is_some()
    }

    /// The cause, and since when.
    pub(super) fn cause_and_since(&self) -> Option<(OverdueCause, Monotonic)> {
        self.cause.zip(self.oldest.or(self.server))
    }
}

impl Watch {
    /// Whether it is time to look for what is overdue.
    #[inline]
    pub(super) fn may_look(&self, now: Monotonic) -> bool {
        self.look_from <= now
    }

    /// Whether anything is overdue, or the end of a silence was not reported yet.
    pub(super) const fn is_anything_told(&self) -> bool {
        self.found.is_any() || self.silent_scripts.is_some()
    }

    /// When to look, if something will be overdue at `soonest`.
    pub(super) fn look_at(&self, soonest: Monotonic) -> Monotonic {
        soonest.max(self.look_from)
    }

    /// Notes that a look was made, so that the next one is some time later.
    pub(super) fn looked(&mut self, now: Monotonic) {
        self.look_from = now + SPACING;
    }

    /// A turn has ended.
    #[inline]
    pub(super) fn end_turn(&mut self, now: Monotonic) {
        self.pause_at = now + STANDSTILL;
    }

    /// Whether no turn has ended for so long that core may not have run.
    #[inline]
    pub(super) fn has_paused(&self, now: Monotonic) -> bool {
        self.pause_at < now
    }
}
