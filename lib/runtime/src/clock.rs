// SPDX-License-Identifier: GPL-3.0-or-later
//! Reads the system's monotonic clock, for how long it was stopped while the host was suspended,
//! and which boot it counts from.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::clock::{BootId, Monotonic};

/// The file in which the system says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Which boot of the host this is.
///
/// # Errors
/// If the system does not say it.
pub fn boot() -> anyhow::Result<BootId> {
    let read = fs::read_to_string(BOOT_ID).with_context(|| format!("cannot read {BOOT_ID}"))?;
    Ok(BootId(read.trim().to_owned()))
}

/// For how long the host was suspended since boot. The monotonic clock is stopped meanwhile.
#[must_use]
pub fn asleep() -> Duration {
    let monotonic = now();
    instant(rustix::time::ClockId::Boottime).since(monotonic)
}

/// The present instant.
#[must_use]
pub fn now() -> Monotonic {
    instant(rustix::time::ClockId::Monotonic)
}

fn instant(clock: rustix::time::ClockId) -> Monotonic {
    let now = rustix::time::clock_gettime(clock);
    // The clock starts at boot, so neither part is ever negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Monotonic(seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0))
}
