// SPDX-License-Identifier: GPL-3.0-or-later
//! How often something may happen, and how often it has happened recently.

use std::time::Duration;

use connect_ipc::clock::Monotonic;

/// The longest time for which somebody who has exceeded the rate has to wait. What exceeds the rate
/// by more than that is not counted.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    every: Duration,
    /// How much may happen at once after a pause: as much as in this time.
    burst: Duration,
}

impl Rate {
    /// `count` each second, which may also come at once: after a pause, as many as this rate allows
    /// in the time `burst`.
    pub(super) const fn per_second(count: u32, burst: Duration) -> Self {
        Rate {
            every: Duration::from_nanos(1_000_000_000 / count as u64),
            burst,
        }
    }
}

/// What has happened until now, at some rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// The instant up to which the rate is used.
    paid: Monotonic,
}

impl Bucket {
    /// When it may happen again.
    pub(super) fn ready_at(self, rate: Rate) -> Monotonic {
        self.paid.before(rate.burst)
    }

    /// It happens this many times.
    pub(super) fn take(&mut self, rate: Rate, count: usize, now: Monotonic) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let paid = self.paid.max(now) + rate.every.saturating_mul(count);
        self.paid = paid.min(now + rate.burst + LONGEST_WAIT);
    }

    /// One of these has not happened after all.
    pub(super) fn give_back(&mut self, rate: Rate) {
        self.paid = self.paid.before(rate.every);
    }

    /// How many times it may happen now.
    pub(super) fn left(self, rate: Rate, now: Monotonic) -> usize {
        let ready = self.ready_at(rate).max(now.before(rate.burst));
        let left = now.since(ready).as_nanos() / rate.every.as_nanos().max(1);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    pub(super) fn is_at_rest(self, now: Monotonic) -> bool {
        self.paid <= now
    }
}
