// SPDX-License-Identifier: GPL-3.0-or-later
//! Instants on the system's monotonic clock, in a form that means the same in every process, and
//! the boot in which they mean something.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant: nanoseconds of `CLOCK_MONOTONIC`. All processes since boot share this clock, and
/// changes of the date do not affect it.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

/// Which boot of the host this is, as the system names it. An instant of another boot has no
/// meaning, and no server, interface or script of another boot is left.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BootId(pub String);

impl Monotonic {
    /// The time from `earlier` until this instant; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant this much earlier; boot is the earliest.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_sub(nanos))
    }
}

/// A time in milliseconds, as in messages; if it is too long for them, the longest that they can
/// have.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    #[inline]
    fn add(self, rhs: Duration) -> Monotonic {
        Monotonic(
            self.0
                .saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_stay_in_range() {
        let now = Monotonic(1_000_000_000);
        assert_eq!(
            (now + Duration::from_secs(1)).since(now),
            Duration::from_secs(1)
        );
        assert_eq!(now.since(now + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(
            Monotonic(u64::MAX) + Duration::from_secs(1),
            Monotonic(u64::MAX)
        );
    }
}
