// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages for the pinger, until the end of the turn or longer.
//!
//! ```text
//!   an expected reply --> [outbox] --with the next message, or in time--> pinger
//!   anything else ------> [outbox] --at the end of the turn-------------> pinger
//! ```
//!
//! An expected reply tells the pinger only that the next check is due as planned, a period from
//! now, so it may wait for others: waking the pinger costs more than ten replies. Few wait longer
//! than many, since few are soon told again if core dies with them.
//!
//! Nothing waits in a core that is ending: the pinger usually goes on, and tells the next core what
//! it knows.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{EndedPing, ToPinger, Watched};

/// How long many expected replies may wait: a tenth of the shortest period, so ten wake-ups a
/// second however many peers there are. Fewer wait for half of the time until the next check.
const REST: Duration = Duration::from_millis(100);

/// How long few may wait at most: if core dies with them, no more is lost than of a state that it
/// writes every minute.
const LONGEST: Duration = Duration::from_secs(60);

/// How many expected replies are worth a wake-up.
const MANY: usize = 16;

/// Expected replies that wait.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: usize,
    /// When the first of them came.
    since: Monotonic,
    /// When they have waited long enough.
    until: Monotonic,
}

impl Waiting {
    /// From when on they leave if core is awake for another reason.
    fn is_ripe(self, now: Monotonic) -> bool {
        let most = self.until.since(self.since) * 3 / 4;
        now >= self.since + most.max(REST) || now >= self.until
    }
}

/// The messages, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    messages: Vec<ToPinger>,
    /// The expected replies among them, if there are any.
    waiting: Option<Waiting>,
    /// When the first of the checks is due that follow the expected replies of the last message.
    due: Option<Monotonic>,
    /// Whether a message cannot wait.
    urgent: bool,
    /// Whether core is ending.
    leaving: bool,
}

impl Outbox {
    /// From now on nothing waits.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.urgent |= !self.messages.is_empty();
    }

    /// Adds a message.
    pub(super) fn push(&mut self, message: ToPinger) {
        self.messages.push(message);
        self.urgent = true;
    }

    /// Adds a peer to be watched.
    pub(super) fn watch(&mut self, watched: Watched, now: Monotonic) {
        self.urgent = true;
        match self.messages.last_mut() {
            Some(ToPinger::Watch { at, peers }) if *at == now && peers.len() < ITEMS_PER_FRAME => {
                peers.push(watched);
            }
            _ => self.messages.push(ToPinger::Watch {
                at: now,
                peers: vec![watched],
            }),
        }
    }

    /// Adds a result after which the pinger has to act.
    pub(super) fn urgent_result(&mut self, ended: EndedPing, now: Monotonic) {
        self.result(ended, None, now);
        self.urgent = true;
    }

    /// Adds an expected reply, after which the peer is due at `due`.
    pub(super) fn expected_result(&mut self, ended: EndedPing, due: Monotonic, now: Monotonic) {
        let until = now + (due.since(now) / 2).min(LONGEST);
        let mut waiting = self.waiting.unwrap_or(Waiting {
            number: 0,
            since: now,
            until,
        });
        waiting.number += 1;
        waiting.until = waiting.until.min(until);
        if waiting.number >= MANY {
            waiting.until = waiting.until.min(waiting.since + REST);
        }
        let full = self.result(ended, Some(due), now) >= ITEMS_PER_FRAME;
        self.waiting = Some(waiting);
        self.urgent |= self.leaving || full || due <= now + REST;
    }

    /// Adds a result after which a check is due at `due`, if it may wait, and returns how many its
    /// message now has.
    fn result(&mut self, result: EndedPing, due: Option<Monotonic>, now: Monotonic) -> usize {
        // It makes no difference when a reply came, as long as the next check is not due.
        let joins = self.due.is_none_or(|due| now < due);
        match self.messages.last_mut() {
            Some(ToPinger::Results { at, ended }) if ended.len() < ITEMS_PER_FRAME && joins => {
                *at = now;
                self.due = self.due.into_iter().chain(due).min();
                ended.push(result);
                ended.len()
            }
            _ => {
                self.due = due;
                self.messages.push(ToPinger::Results {
                    at: now,
                    ended: vec![result],
                });
                1
            }
        }
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// When the first message has waited long enough.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.waiting.map(|waiting| waiting.until)
    }

    /// Takes all messages, if it is time to send them.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Option<Vec<ToPinger>> {
        if !self.urgent && !self.waiting.is_some_and(|waiting| waiting.is_ripe(now)) {
            return None;
        }
        (self.waiting, self.due) = (None, None);
        self.urgent = false;
        Some(std::mem::take(&mut self.messages))
    }

    /// Forgets all: the pinger has disconnected, and the next one gets core's own figures.
    pub(super) fn clear(&mut self) {
        *self = Outbox {
            leaving: self.leaving,
            ..Outbox::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::PeerId;
    use connect_ipc::pinger::PingResult;

    const NOW: Monotonic = Monotonic(1_000_000_000);
    const DUE: Monotonic = Monotonic(2_000_000_000);

    fn reply(peer: u64) -> EndedPing {
        EndedPing {
            peer: PeerId(peer),
            seq: 1,
            result: PingResult::Reply(1.0),
        }
    }

    fn results(at: Monotonic, peers: &[u64]) -> ToPinger {
        ToPinger::Results {
            at,
            ended: peers.iter().copied().map(reply).collect(),
        }
    }

    #[test]
    fn expected_replies_leave_together_when_the_first_has_waited_long_enough() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.deadline(), None);
        outbox.expected_result(reply(1), DUE, NOW);
        let half = DUE.since(NOW) / 2;
        let later = NOW + half / 4;
        outbox.expected_result(reply(2), DUE, later);
        assert_eq!(outbox.take_due(later), None);
        assert_eq!(outbox.deadline(), Some(NOW + half));
        // If core is awake anyway.
        assert_eq!(outbox.take_due(NOW + half / 2), None);
        let awake = NOW + half * 3 / 4;
        assert_eq!(outbox.take_due(awake).unwrap(), [results(later, &[1, 2])]);
        assert_eq!(outbox.deadline(), None);
        assert_eq!(outbox.take_due(awake), None);
    }

    #[test]
    fn many_expected_replies_wait_for_a_tenth_of_a_second() {
        let mut outbox = Outbox::default();
        for peer in 1..MANY as u64 {
            outbox.expected_result(reply(peer), DUE, NOW);
        }
        assert_eq!(outbox.take_due(NOW + REST), None);
        outbox.expected_result(reply(MANY as u64), DUE, NOW);
        assert_eq!(outbox.deadline(), Some(NOW + REST));
        assert_eq!(outbox.take_due(NOW + REST / 2), None);
        assert_eq!(outbox.take_due(NOW + REST).unwrap().len(), 1);
    }

    #[test]
    fn any_other_message_takes_them_along_and_comes_after_them() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), DUE, NOW);
        outbox.push(ToPinger::Forget(vec![PeerId(1)]));
        outbox.expected_result(reply(2), DUE, NOW);
        let all = outbox.take_due(NOW).unwrap();
        let forget = ToPinger::Forget(vec![PeerId(1)]);
        assert_eq!(all, [results(NOW, &[1]), forget, results(NOW, &[2])]);
        outbox.expected_result(reply(3), DUE, NOW);
        outbox.urgent_result(reply(4), NOW);
        assert_eq!(outbox.take_due(NOW).unwrap(), [results(NOW, &[3, 4])]);
    }

    #[test]
    fn a_reply_that_waited_while_core_stood_still_keeps_its_time() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), DUE, NOW);
        let later = NOW + Duration::from_secs(65);
        outbox.expected_result(reply(2), later + Duration::from_secs(60), later);
        assert_eq!(
            outbox.take_due(later).unwrap(),
            [results(NOW, &[1]), results(later, &[2])]
        );
    }

    #[test]
    fn what_comes_in_one_turn_after_a_standstill_is_one_message() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), DUE, NOW);
        let later = NOW + Duration::from_secs(65);
        for peer in 2..5 {
            outbox.expected_result(reply(peer), later + Duration::from_secs(60), later);
        }
        let expected = [results(NOW, &[1]), results(later, &[2, 3, 4])];
        assert_eq!(outbox.take_due(later).unwrap(), expected);
    }

    #[test]
    fn a_reply_waits_no_longer_than_a_minute() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), NOW + Duration::from_secs(3_600), NOW);
        assert_eq!(outbox.deadline(), Some(NOW + LONGEST));
    }

    #[test]
    fn a_reply_does_not_wait_beyond_the_next_check() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), NOW + REST / 2, NOW);
        assert_eq!(outbox.take_due(NOW).unwrap(), [results(NOW, &[1])]);
    }

    #[test]
    fn nothing_waits_in_a_core_that_is_leaving() {
        let mut outbox = Outbox::default();
        outbox.expected_result(reply(1), DUE, NOW);
        outbox.leave();
        assert_eq!(outbox.take_due(NOW).unwrap(), [results(NOW, &[1])]);
        outbox.expected_result(reply(2), DUE, NOW);
        assert_eq!(outbox.take_due(NOW).unwrap(), [results(NOW, &[2])]);
    }

    #[test]
    fn a_full_message_does_not_wait() {
        let mut outbox = Outbox::default();
        for peer in 0..ITEMS_PER_FRAME as u64 {
            assert_eq!(outbox.take_due(NOW), None);
            outbox.expected_result(reply(peer), DUE, NOW);
        }
        assert_eq!(outbox.take_due(NOW).unwrap().len(), 1);
    }
}
