// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings that the pinger has ordered in advance, until they are due.
//!
//! ```text
//!   pinger --some pings at once--> [queue] --each when it is due--> server
//! ```
//!
//! The pinger decides when a peer is pinged, and core sends each ping at that time. Waking a
//! process costs more than a ping, so a ping should not wake two processes.
//!
//! An order is valid from its arrival, even if the pinger ends. Only the loss of the server makes
//! orders void, also those that the pinger sent before it knew of the loss: the queue is closed
//! until the pinger has answered that it proceeds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::PingOrder;

/// How long a ping may be delayed to be sent together with later ones. A wake-up costs as much as
/// several pings, so a few pings for each wake-up halve the cost of a thousand peers, and 2 ms are
/// very little compared with the shortest `every`, one second. The delay applies even if core is
/// awake earlier, for example because of an answer: otherwise each answer would send the next ping
/// alone.
pub const COALESCE: Duration = Duration::from_millis(2);

/// The orders that are not due yet, and when the next of them may be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct PingQueue {
    /// The earliest first; in the order of an order's fields: due, peer, seq.
    ahead: BinaryHeap<Reverse<(Monotonic, PeerId, u32)>>,
    /// When the last ones were sent.
    sent: Monotonic,
    /// How often the pinger was told to proceed and has not answered yet.
    unanswered: u32,
}

impl PingQueue {
    /// A pinger has connected or disconnected, so no answer is expected any more. Its orders stay.
    pub(super) fn forget_pinger(&mut self) {
        self.unanswered = 0;
    }

    /// The pinger is told to proceed: orders that it made before it received that are void.
    pub(super) fn await_proceeding(&mut self) {
        self.unanswered += 1;
    }

    /// The pinger has answered.
    pub(super) fn proceeding(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Whether an order that arrives now was made after the last outage.
    pub(super) const fn is_open(&self) -> bool {
        self.unanswered == 0
    }

    /// How many orders are not due yet.
    pub(super) fn len(&self) -> usize {
        self.ahead.len()
    }

    /// Takes an order. A later one for the same ping replaces it: whoever takes orders passes over
    /// one whose ping is due at another time since.
    pub(super) fn push(&mut self, order: PingOrder) {
        let PingOrder { peer, seq, due } = order;
        self.ahead.push(Reverse((due, peer, seq)));
    }

    /// When [`PingQueue::take`] has something to give next.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let Reverse((due, ..)) = self.ahead.peek()?;
        Some((*due).max(self.sent + COALESCE))
    }

    /// An order that is due at `now`. All orders that are due at the same instant can be taken at
    /// this instant.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<PingOrder> {
        let Reverse((due, ..)) = self.ahead.peek()?;
        if *due > now || (now != self.sent && now < self.sent + COALESCE) {
            return None;
        }
        self.sent = now;
        let Reverse((due, peer, seq)) = self.ahead.pop()?;
        Some(PingOrder { peer, seq, due })
    }

    /// Keeps only these orders.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&PingOrder) -> bool) {
        self.ahead
            .retain(|&Reverse((due, peer, seq))| is_kept(&PingOrder { peer, seq, due }));
    }

    /// The server is lost: forgets all orders.
    pub(super) fn clear(&mut self) {
        self.ahead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_go_out_when_due_and_not_more_often_than_every_two_milliseconds() {
        let at = |micros: u64| Monotonic(1_000_000_000 + micros * 1000);
        let order = |peer, due| PingOrder {
            peer: PeerId(peer),
            seq: 1,
            due,
        };
        let mut queue = PingQueue::default();
        assert_eq!(queue.deadline(), None);
        for (peer, due) in [(1, at(500)), (2, at(100)), (3, at(5000)), (4, at(100))] {
            queue.push(order(peer, due));
        }
        assert_eq!(queue.deadline(), Some(at(100)));
        assert_eq!(queue.take(at(99)), None);
        assert_eq!(queue.take(at(100)), Some(order(2, at(100))));
        assert_eq!(queue.take(at(100)), Some(order(4, at(100))));
        assert_eq!(queue.take(at(100)), None);
        assert_eq!(
            queue.deadline(),
            Some(at(2100)),
            "the next waits for company"
        );
        assert_eq!(queue.take(at(2099)), None, "even if it is asked for");
        assert_eq!(queue.take(at(2100)), Some(order(1, at(500))));
        assert_eq!(
            queue.deadline(),
            Some(at(5000)),
            "but not longer than it must"
        );
        queue.clear();
        assert_eq!(queue.take(at(9999)), None);
    }

    #[test]
    fn the_queue_is_closed_until_every_call_to_proceed_is_answered() {
        let mut queue = PingQueue::default();
        queue.await_proceeding();
        queue.await_proceeding();
        queue.proceeding();
        assert!(!queue.is_open(), "the answer is to the first call");
        queue.proceeding();
        assert!(queue.is_open());
        queue.await_proceeding();
        queue.forget_pinger();
        assert!(queue.is_open(), "a new pinger orders nothing from before");
    }
}
