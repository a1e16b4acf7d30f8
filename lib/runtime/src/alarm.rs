// SPDX-License-Identifier: GPL-3.0-or-later
//! One alarm on the system's monotonic clock, exact to what the scheduler gives.
//!
//! The runtime's own timers count whole milliseconds, and setting one while no other runs costs a
//! write to the runtime's own wake-up descriptor and a turn of its loop. Worse, while one of them
//! runs, every wait of the process has a limit, so the kernel sets and stops a timer of its own
//! each time; on a virtual machine these are two exits to the host. An alarm costs one system call
//! to set and none to notice. So every timer that a loop waits for in each turn is an alarm; the
//! runtime's timers are for what is rare or short.

use std::future::poll_fn;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use connect_ipc::clock::Monotonic;

use crate::clock;
use crate::descriptor::watch;

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
            timer: watch(timer, Interest::READABLE)?,
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

    /// Sets the alarm and waits for that instant. Cancel safe.
    ///
    /// # Errors
    /// As [`Alarm::set`] and [`Alarm::rings`].
    pub async fn until(&self, at: Monotonic) -> std::io::Result<()> {
        self.set(at)?;
        while clock::now() < at {
            self.rings().await?;
        }
        Ok(())
    }

    /// Waits until it rings. It may have rung for an earlier setting, so the caller must check the
    /// clock. Cancel safe. Only one task may wait at a time: a second one would replace the first.
    ///
    /// # Errors
    /// If the runtime is ending.
    pub async fn rings(&self) -> std::io::Result<()> {
        // The descriptor is not read: the next setting clears it, and the runtime reports each
        // ringing, read or not.
        poll_fn(|cx| self.timer.poll_read_ready(cx))
            .await?
            .clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_each_time_that_it_is_set_and_never_early() {
        let alarm = Alarm::new().unwrap();
        for millis in [2, 0, 5] {
            let at = clock::now() + Duration::from_millis(millis);
            alarm.until(at).await.unwrap();
            assert!(clock::now() >= at);
        }
        alarm.set(Monotonic(0)).unwrap();
        alarm.rings().await.unwrap();
    }
}
