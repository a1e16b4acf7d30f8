// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings that the pinger has ordered ahead, until they are due.
//!
//! ```text
//!   pinger --a tenth of a second's pings at once--> [orders] --each when it is due--> server
//! ```
//!
//! The pinger decides when a peer is pinged, and core keeps the appointment: waking one process for a
//! ping costs more than the ping, so it should not take two.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::PingOrder;

/// How far a ping may be put off to go out together with later ones. A wake-up costs as much as
/// several pings, so a few pings to a wake-up halve the cost of a thousand peers; and 2 ms are nothing
/// beside the shortest `every`, which is a second.
pub const COALESCE: Duration = Duration::from_millis(2);

/// The orders that are not due yet, and when the next of them may go out.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The earliest first; in the order of an order's fields: due, peer, seq, failures.
    ahead: BinaryHeap<Reverse<(Monotonic, PeerId, u32, u32)>>,
    /// The end of the pause after the last ones that went out.
    pause_end: Monotonic,
}

impl Orders {
    /// Takes an order.
    pub(super) fn push(&mut self, order: PingOrder) {
        let PingOrder {
            peer,
            seq,
            failures,
            due,
        } = order;
        self.ahead.push(Reverse((due, peer, seq, failures)));
    }

    /// When [`Orders::take`] has something to give next, unless it is asked before.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let Reverse((due, ..)) = self.ahead.peek()?;
        Some((*due).max(self.pause_end))
    }

    /// An order that is due.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<PingOrder> {
        let Reverse((due, ..)) = self.ahead.peek()?;
        if *due > now {
            return None;
        }
        self.pause_end = now + COALESCE;
        let Reverse((due, peer, seq, failures)) = self.ahead.pop()?;
        Some(PingOrder {
            peer,
            seq,
            failures,
            due,
        })
    }

    /// Forgets all: whoever gave them is gone, or gives new ones.
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
            failures: 0,
            due,
        };
        let mut orders = Orders::default();
        assert_eq!(orders.deadline(), None);
        for (peer, due) in [(1, at(500)), (2, at(100)), (3, at(5000))] {
            orders.push(order(peer, due));
        }
        assert_eq!(orders.deadline(), Some(at(100)));
        assert_eq!(orders.take(at(99)), None);
        assert_eq!(orders.take(at(100)), Some(order(2, at(100))));
        assert_eq!(orders.take(at(100)), None);
        assert_eq!(
            orders.deadline(),
            Some(at(2100)),
            "the next waits for company"
        );
        assert_eq!(orders.take(at(2100)), Some(order(1, at(500))));
        assert_eq!(
            orders.deadline(),
            Some(at(5000)),
            "but not longer than it must"
        );
        orders.clear();
        assert_eq!(orders.take(at(9999)), None);
    }
}
