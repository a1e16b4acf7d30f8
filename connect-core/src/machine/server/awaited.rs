// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether the server owes an answer, and for how long it has said nothing meanwhile.
//!
//! Every command is answered at once, those in the background by `BGDETACH`. So a server that says
//! nothing while a command waits does not run.

use connect_ipc::clock::Monotonic;

use crate::machine::limits::{GRACE, STANDSTILL};

/// What the server owes.
#[derive(Debug, Default)]
pub(in crate::machine) struct Awaited {
    /// Since when commands wait without a pause.
    owed: Option<Monotonic>,
    /// When the server last said something.
    heard: Monotonic,
    /// When it stands still, if it says nothing until then.
    still_at: Option<Monotonic>,
    /// When a server that was never joined is given up although it is connected.
    pub(super) answer_by: Option<Monotonic>,
    /// Whether a server was connected since core started.
    pub(super) met: bool,
}

impl Awaited {
    /// A line has come. Says whether the server stood still before this turn.
    #[inline]
    pub(super) fn heard(&mut self, now: Monotonic) -> bool {
        self.heard = now;
        self.still_at.is_some_and(|at| at <= now)
    }

    /// A turn ends, in which commands wait or none does.
    #[inline]
    pub(in crate::machine) fn end_turn(&mut self, waiting: bool, now: Monotonic) {
        if !waiting {
            (self.owed, self.still_at) = (None, None);
        } else if self.owed.is_none() || self.heard == now {
            self.owed = self.owed.or(Some(now));
            self.still_at = Some(now + STANDSTILL);
        }
    }

    /// Since when the server has owed something and said nothing.
    #[inline]
    pub(in crate::machine) fn since(&self) -> Option<Monotonic> {
        self.owed.map(|owed| owed.max(self.heard))
    }

    /// When its answer is overdue.
    #[inline]
    pub(in crate::machine) fn deadline(&self) -> Option<Monotonic> {
        self.since().map(|since| since + GRACE)
    }

    /// The connection is gone.
    pub(super) const fn lost(&mut self) {
        (self.owed, self.still_at) = (None, None);
        self.answer_by = None;
    }

    /// When it last said something.
    pub(super) const fn last_heard(&self) -> Monotonic {
        self.heard
    }
}
