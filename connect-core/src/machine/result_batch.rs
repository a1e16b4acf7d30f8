// SPDX-License-Identifier: GPL-3.0-or-later
//! Results of pings on their way to the pinger: at once where it has to act, in batches where not.
//!
//! ```text
//!   a reply that was expected --> [batch] --with the next message, or in time--> pinger
//!   anything else ----------------------------------------------at once--------> pinger
//! ```
//!
//! A reply that was expected tells the pinger only that the next check is due as planned, a period
//! from now, so it may wait for others: waking the pinger costs more than ten replies do.
//!
//! Nothing waits in a core that is leaving: the pinger will tell the next one what it knows, and is
//! believed, since it has usually lived on.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{PingResult, ToPinger};

/// How long an expected reply may rest: a tenth of the shortest period, so ten wake-ups a second
/// however many peers there are.
const REST: Duration = Duration::from_millis(100);

/// Expected replies that the pinger has not been told of. Core has judged them already.
#[derive(Debug, Default)]
pub(super) struct ResultBatch {
    results: Vec<PingResult>,
    until: Option<Monotonic>,
    /// Whether core is leaving.
    leaving: bool,
}

impl ResultBatch {
    /// From now on nothing rests.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Takes a reply after which the peer is due at `due`; gives it back if it may not rest.
    pub(super) fn offer(
        &mut self,
        result: PingResult,
        due: Monotonic,
        now: Monotonic,
    ) -> Option<PingResult> {
        let until = *self.until.get_or_insert(now + REST);
        if self.leaving || due <= until {
            return Some(result);
        }
        self.results.push(result);
        None
    }

    /// When the oldest has rested long enough.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.until.filter(|_| !self.results.is_empty())
    }

    /// Puts all before what is about to leave, if anything is, or if it is time.
    pub(super) fn join(&mut self, leaving: &mut Vec<ToPinger>, now: Monotonic) {
        let time = self.until.is_some_and(|until| until <= now);
        if leaving.is_empty() && !time && !self.leaving && self.results.len() < ITEMS_PER_FRAME {
            return;
        }
        self.until = None;
        let mut results = self.results.as_slice();
        let mut first = Vec::new();
        while !results.is_empty() {
            let (some, rest) = results.split_at(results.len().min(ITEMS_PER_FRAME));
            first.push(ToPinger::Results(some.to_vec()));
            results = rest;
        }
        self.results.clear();
        leaving.splice(..0, first);
    }

    /// Forgets all: the pinger is gone, and the next one is told where each peer stands.
    pub(super) fn clear(&mut self) {
        self.results.clear();
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::PeerId;
    use connect_ipc::pinger::PingOutcome;

    const NOW: Monotonic = Monotonic(1_000_000_000);

    fn reply(peer: u64) -> PingResult {
        PingResult {
            peer: PeerId(peer),
            seq: 1,
            outcome: PingOutcome::Reply(1.0),
        }
    }

    fn leaving(
        batch: &mut ResultBatch,
        mut leaving: Vec<ToPinger>,
        now: Monotonic,
    ) -> Vec<ToPinger> {
        batch.join(&mut leaving, now);
        leaving
    }

    #[test]
    fn expected_replies_leave_together_when_it_is_time() {
        let mut batch = ResultBatch::default();
        let due = NOW + Duration::from_secs(1);
        assert_eq!(batch.deadline(), None);
        assert_eq!(batch.offer(reply(1), due, NOW), None);
        let later = NOW + REST / 2;
        assert_eq!(batch.offer(reply(2), due, later), None);
        assert_eq!(leaving(&mut batch, Vec::new(), later), []);
        assert_eq!(batch.deadline(), Some(NOW + REST));
        let both = ToPinger::Results(vec![reply(1), reply(2)]);
        assert_eq!(leaving(&mut batch, Vec::new(), NOW + REST), [both]);
        assert_eq!(batch.deadline(), None);
    }

    #[test]
    fn whatever_else_leaves_takes_them_along_and_comes_after_them() {
        let mut batch = ResultBatch::default();
        batch.offer(reply(1), NOW + Duration::from_secs(1), NOW);
        let other = vec![ToPinger::Forget(vec![PeerId(1)])];
        let all = leaving(&mut batch, other.clone(), NOW);
        assert_eq!(
            all,
            [vec![ToPinger::Results(vec![reply(1)])], other].concat()
        );
    }

    #[test]
    fn a_reply_does_not_rest_beyond_the_next_check() {
        let mut batch = ResultBatch::default();
        let soon = NOW + REST / 2;
        assert_eq!(batch.offer(reply(1), soon, NOW), Some(reply(1)));
    }

    #[test]
    fn nothing_rests_in_a_core_that_is_leaving() {
        let mut batch = ResultBatch::default();
        let due = NOW + Duration::from_secs(1);
        batch.offer(reply(1), due, NOW);
        batch.leave();
        let told = ToPinger::Results(vec![reply(1)]);
        assert_eq!(leaving(&mut batch, Vec::new(), NOW), [told]);
        assert_eq!(batch.offer(reply(2), due, NOW), Some(reply(2)));
    }

    #[test]
    fn a_full_message_does_not_wait() {
        let mut batch = ResultBatch::default();
        for peer in 0..ITEMS_PER_FRAME as u64 {
            batch.offer(reply(peer), NOW + Duration::from_secs(1), NOW);
        }
        assert_eq!(leaving(&mut batch, Vec::new(), NOW).len(), 1);
    }
}
