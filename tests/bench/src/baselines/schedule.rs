// SPDX-License-Identifier: GPL-3.0-or-later
//! When each of many peers is due: spread evenly over the period, as the service does it.

use std::time::{Duration, Instant};

/// The instants of all peers, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    peers: u32,
    period: Duration,
    next: u64,
}

impl Schedule {
    /// The first peer is due at `start`.
    pub(crate) const fn new(start: Instant, peers: u32, period: Duration) -> Self {
        Schedule {
            start,
            peers,
            period,
            next: 0,
        }
    }

    /// When the next peer is due.
    pub(crate) fn due(&self) -> Instant {
        let peers = u64::from(self.peers);
        let within = self.period.as_nanos() * u128::from(self.next % peers) / u128::from(peers);
        let before = self.period.as_nanos() * u128::from(self.next / peers);
        let nanos = u64::try_from(before + within).unwrap_or(u64::MAX);
        self.start + Duration::from_nanos(nanos)
    }

    /// The number of the next peer, if it is due by now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u32> {
        if self.due() > now {
            return None;
        }
        let peer = self.next % u64::from(self.peers);
        self.next += 1;
        u32::try_from(peer).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_come_one_after_the_other_and_again_after_the_period() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 4, Duration::from_secs(1));
        for (n, millis) in [(0, 0), (1, 250), (2, 500), (3, 750), (0, 1000), (1, 1250)] {
            let due = start + Duration::from_millis(millis);
            assert_eq!(schedule.due(), due);
            assert_eq!(schedule.take(due - Duration::from_nanos(1)), None);
            assert_eq!(schedule.take(due), Some(n));
        }
    }
}
