// SPDX-License-Identifier: GPL-3.0-or-later
//! One alarm on the system's monotonic clock, exact to what the scheduler gives.
//!
//! The runtime's own timers count whole milliseconds, and each one set anew while no other runs costs
//! a write to the runtime's own wake-up descriptor and a turn of its loop. This one costs a system
//! call to set and none to hear.

use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Monotonic;

const NANOS: u64 = 1_000_000_000;

/// The alarm. It belongs to the runtime in which it was made.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// If the system is out of descriptors.
    pub fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Alarm {
            timer: register(timer)?,
        })
    }

    /// Sets the alarm, in place of any earlier setting.
    ///
    /// # Errors
    /// If the instant is beyond what the system counts.
    pub fn set(&self, at: Monotonic) -> std::io::Result<()> {
        // Zero would stop the timer; any other instant that has passed rings at once.
        let nanos = at.0.max(1);
        let value = Timespec {
            tv_sec: i64::try_from(nanos / NANOS).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % NANOS).unwrap_or_default(),
        };
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Waits until it rings. It may have rung for an earlier setting, so whoever waits looks at the
    /// clock. Cancel safe.
    ///
    /// # Errors
    /// If the runtime is ending.
    pub async fn rings(&self) -> std::io::Result<()> {
        // What is in the descriptor is not read: the next setting clears it, and the runtime is told
        // of each ringing, read or not.
        self.timer.readable().await?.clear_ready();
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "the successor is `unsafe', asking that the descriptor stay open and the same, which \
              an OwnedFd is by its very type"
)]
fn register(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_each_time_that_it_is_set_and_never_early() {
        let alarm = Alarm::new().unwrap();
        for millis in [2, 0, 5] {
            let at = Monotonic::now() + Duration::from_millis(millis);
            alarm.set(at).unwrap();
            while Monotonic::now() < at {
                alarm.rings().await.unwrap();
            }
        }
        alarm.set(Monotonic(0)).unwrap();
        alarm.rings().await.unwrap();
    }
}
