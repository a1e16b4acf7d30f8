// SPDX-License-Identifier: GPL-3.0-or-later
//! Reading the system's monotonic clock.

use connect_ipc::clock::Monotonic;

/// The present instant.
#[must_use]
pub fn now() -> Monotonic {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The clock starts at boot, so neither part is ever negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Monotonic(seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0))
}
