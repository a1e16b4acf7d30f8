// SPDX-License-Identifier: GPL-3.0-or-later
//! Messages for the pinger, until the end of the turn or longer.
//!
//! ```text
//!   an expected reply --> [outbox] --with the next message, or in time--> pinger
//!   anything else ------> [outbox] --at the end of the turn-------------> pinger
//! ```
//!
//! An expected reply tells the pinger only that the next check is due as planned, a period from
//! now, so it may wait for others: waking the pinger costs more than ten replies.
//!
//! Nothing waits in a core that is ending: the pinger usually goes on, and tells the next core what
//! it knows.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{EndedPing, ToPinger, Watched};

/// How long an expected reply may wait: a tenth of the shortest period, so ten wake-ups a second
/// however many peers there are.
const REST: Duration = Duration::from_millis(100);

/// The messages, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    messages: Vec<ToPinger>,
    /// When the first expected reply has waited long enough.
    until: Option<Monotonic>,
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
        self.result(ended, now);
        self.urgent = true;
    }

    /// Adds an expected reply, after which the peer is due at `due`.
    pub(super) fn expected_result(&mut self, ended: EndedPing, due: Monotonic, now: Monotonic) {
        let until = *self.until.get_or_insert(now + REST);
        let full = self.result(ended, now) >= ITEMS_PER_FRAME;
        self.urgent |= self.leaving || full || due <= until;
    }

    /// Adds a result, and returns how many its message now has.
    fn result(&mut self, result: EndedPing, now: Monotonic) -> usize {
        match self.messages.last_mut() {
            // Those that wait have waited for no time that matters, unless core stood still.
            Some(ToPinger::Results { at, ended })
                if ended.len() < ITEMS_PER_FRAME && now.since(*at) <= REST =>
            {
                *at = now;
                ended.push(result);
                ended.len()
            }
            _ => {
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
        self.until.filter(|_| !self.messages.is_empty())
    }

    /// Takes all messages, if it is time to send them.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Option<Vec<ToPinger>> {
        if !self.urgent && self.deadline().is_none_or(|until| until > now) {
            return None;
        }
        self.until = None;
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
        let later = NOW + REST / 2;
        outbox.expected_result(reply(2), DUE, later);
        assert_eq!(outbox.take_due(later), None);
        assert_eq!(outbox.deadline(), Some(NOW + REST));
        assert_eq!(
            outbox.take_due(NOW + REST).unwrap(),
            [results(later, &[1, 2])]
        );
        assert_eq!(outbox.deadline(), None);
        assert_eq!(outbox.take_due(NOW + REST), None);
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
