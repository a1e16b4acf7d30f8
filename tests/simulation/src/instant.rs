// SPDX-License-Identifier: GPL-3.0-or-later
//! Time in the world, and the clock of a host.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use serde::{Deserialize, Serialize};

/// Nanoseconds since the world began.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Instant(pub u64);

impl Instant {
    /// How long after `earlier` this is; nothing if it is before.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(time)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, time: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(time)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
    }
}

/// A time in nanoseconds.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The monotonic clock of a host: it begins at each boot, and is suspended while the host sleeps.
#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    /// The instant at which it would show zero.
    zero: Instant,
}

/// What the clock of a host shows when it boots: nothing is started in the first seconds.
const AT_BOOT: Duration = Duration::from_secs(20);

impl HostClock {
    /// The clock of a host that boots at `now`, or in the past if the world is too young for that.
    #[must_use]
    pub fn booted(now: Instant) -> Self {
        HostClock {
            zero: now - AT_BOOT,
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn at(&self, now: Instant) -> Monotonic {
        Monotonic(now.0.saturating_sub(self.zero.0))
    }

    /// When it will show this, unless the host sleeps before.
    #[must_use]
    pub const fn when(&self, shown: Monotonic) -> Instant {
        Instant(shown.0.saturating_add(self.zero.0))
    }

    /// The host has slept for so long.
    pub fn slept(&mut self, time: Duration) {
        self.zero = self.zero + time;
    }
}
