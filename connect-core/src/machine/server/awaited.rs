// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether an answer of the server is due, and for how long.
//!
//! The server answers each command at once and in order, those in the background by `BGDETACH`. So
//! if it sends nothing while a command waits, it does not run; and if it sends other lines but does
//! not answer the oldest command, it is silent all the same.

use connect_ipc::clock::Monotonic;

use crate::machine::limits::{ANSWER_LEAST, ANSWER_LIMIT, GRACE, STANDSTILL};

/// Which answers of the server are due.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Awaited {
    /// The number of the oldest command that waits, and since when it is the oldest, or since the
    /// last line of its answer.
    owed: Option<(u64, Monotonic)>,
    /// When the server last sent something.
    heard: Monotonic,
    /// When it counts as one that does not run, if it sends nothing until then.
    still_at: Option<Monotonic>,
    /// When core stops waiting for a server that is connected but was never joined.
    pub(super) answer_by: Option<Monotonic>,
    /// The latest that `answer_by` may become, however slowly answers come.
    latest: Monotonic,
    /// Whether a server was connected since core started.
    pub(super) met: bool,
    /// When the connection was lost last.
    pub(in crate::machine) lost_at: Option<Monotonic>,
}

impl Awaited {
    /// A line has come. Returns whether the server did not run before this turn.
    #[inline]
    pub(super) fn heard(&mut self, now: Monotonic) -> bool {
        self.heard = now;
        self.still_at.is_some_and(|at| at <= now)
    }

    /// A line of an answer has come, and there may be more.
    #[inline]
    pub(super) fn informed(&mut self, now: Monotonic) {
        if let Some((_, since)) = &mut self.owed {
            *since = now;
        }
    }

    /// A turn ends, in which a command waits or none does.
    #[inline]
    pub(in crate::machine) fn end_turn(&mut self, oldest: Option<u64>, now: Monotonic) {
        let Some(oldest) = oldest else {
            (self.owed, self.still_at) = (None, None);
            return;
        };
        if self.owed.is_none() || self.heard == now {
            self.still_at = Some(now + STANDSTILL);
        }
        if self.owed.is_none_or(|(number, _)| number != oldest) {
            self.owed = Some((oldest, now));
        }
    }

    /// Since when an answer of the server has been due.
    #[inline]
    pub(in crate::machine) fn since(&self) -> Option<Monotonic> {
        self.owed.map(|(_, since)| since)
    }

    /// When its answer is overdue.
    #[inline]
    pub(in crate::machine) fn deadline(&self) -> Option<Monotonic> {
        self.since().map(|since| since + GRACE)
    }

    /// The connection has ended.
    pub(super) const fn lost(&mut self, now: Monotonic) {
        self.lost_at = Some(now);
        (self.owed, self.still_at) = (None, None);
        self.answer_by = None;
    }

    /// Core did not run for a time, so lines of the server may be unread.
    pub(in crate::machine) fn postpone(&mut self, now: Monotonic) {
        self.answer_by = self.answer_by.map(|by| by.max(now + ANSWER_LEAST));
    }

    /// A server that was never joined must answer until then.
    pub(super) fn expect(&mut self, answer_by: Monotonic) {
        self.answer_by = Some(answer_by);
        self.latest = answer_by + ANSWER_LIMIT;
    }

    /// The time for the first answers is over. Returns whether the server gets more: if no answer
    /// is due, or it is just answering.
    pub(super) fn extend(&mut self, now: Monotonic) -> bool {
        let answers = self.since().is_none_or(|since| since + ANSWER_LEAST > now);
        let extended = answers && now < self.latest;
        self.answer_by = extended.then_some(now + ANSWER_LEAST);
        extended
    }
}
