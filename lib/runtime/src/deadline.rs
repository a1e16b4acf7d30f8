// SPDX-License-Identifier: GPL-3.0-or-later
//! A deadline on the system's monotonic clock, as exact as the scheduler.
//!
//! The runtime's own timers count whole milliseconds, and setting one while no other runs costs a
//! write to the runtime's own wake-up descriptor and a turn of its loop. Worse, while one of them
//! runs, every wait of the process has a limit, so the kernel sets and stops a timer of its own
//! each time; on a virtual machine these are two exits to the host. A deadline costs one system
//! call to set, none to set to the same instant again, and none to notice. So everything that a
//! loop waits for in each turn is a deadline; the runtime's timers are for what is rare or short.

use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;

use connect_ipc::clock::Monotonic;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;
use crate::descriptor::watch;

const NANOS: u64 = 1_000_000_000;

/// The deadline of a loop. Each turn calls [`Deadline::set`] with the instant at which something is
/// due next, and then waits for [`Deadline::passed`] or anything else. It belongs to the runtime in
/// which it was made.
#[derive(Debug)]
pub struct Deadline {
    timer: AsyncFd<OwnedFd>,
    set: Option<Monotonic>,
    /// The instant to which the timer was set last.
    rings: Option<Monotonic>,
}

impl Deadline {
    /// A deadline that is not set.
    ///
    /// # Errors
    /// If the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = watch(timer, Interest::READABLE)?;
        Ok(Deadline {
            timer,
            set: None,
            rings: None,
        })
    }

    /// Sets the deadline, or removes it.
    pub fn set(&mut self, at: Option<Monotonic>) {
        // When a deadline is removed, its timer may still ring, but nothing waits for it.
        if let Some(at) = at
            && self.rings != Some(at)
        {
            self.ring(at);
        }
        self.set = at;
    }

    /// As [`Deadline::set`], but a timer that rings before that is left as it is, and set again
    /// when it has rung. For deadlines that are put off many times before the first of them would
    /// have passed: this saves a system call each time, and costs one wake-up in all.
    pub fn set_late(&mut self, at: Option<Monotonic>) {
        let rings_by = |at| self.rings.is_some_and(|rings| rings <= at);
        if at.is_some_and(rings_by) {
            self.set = at;
        } else {
            self.set(at);
        }
    }

    /// Sets the timer.
    fn ring(&mut self, at: Monotonic) {
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
        // This fails only for a descriptor that is not a timer and for a time that is not valid.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
        self.rings = Some(at);
    }

    /// Waits until the deadline has passed, which removes it; forever while there is none. Cancel
    /// safe. Only one task may wait at a time: a second one would replace the first.
    pub async fn passed(&mut self) {
        let Some(at) = self.set else {
            return pending().await;
        };
        // The timer may have rung for an earlier setting.
        loop {
            let now = clock::now();
            if now >= at {
                break;
            }
            if self.rings.is_none_or(|rings| rings <= now) {
                self.ring(at);
            }
            // The descriptor is not read: the next setting clears it, and the runtime reports each
            // time that the timer rings, whether or not it was read.
            match poll_fn(|cx| self.timer.poll_read_ready(cx)).await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is ending.
                Err(_) => return pending().await,
            }
        }
        self.set = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_passes_once_for_each_setting_and_never_early() {
        let mut deadline = Deadline::new().unwrap();
        for millis in [2, 0, 5] {
            let at = clock::now() + Duration::from_millis(millis);
            deadline.set(Some(at));
            deadline.set(Some(at));
            deadline.passed().await;
            assert!(clock::now() >= at);
        }
        let hour = clock::now() + Duration::from_secs(3600);
        for (later, passes) in [
            (None, false),
            (Some(hour), false),
            (Some(Monotonic(0)), true),
        ] {
            // What rings for an earlier setting is not taken for this one.
            deadline.set(Some(Monotonic(1)));
            deadline.set(later);
            tokio::select! {
                biased;
                () = deadline.passed() => assert!(passes),
                () = tokio::task::yield_now() => assert!(!passes),
            }
        }
    }

    #[tokio::test]
    async fn one_that_is_put_off_passes_at_the_last_instant() {
        let mut deadline = Deadline::new().unwrap();
        let start = clock::now();
        let after = |millis| start + Duration::from_millis(millis);
        for millis in [2, 3, 5] {
            deadline.set_late(Some(after(millis)));
            assert_eq!(deadline.rings, Some(after(2)));
        }
        deadline.passed().await;
        assert!(clock::now() >= after(5));
        // One that has rung is set again, and so is one that would ring too late.
        deadline.set_late(Some(after(9)));
        deadline.passed().await;
        assert!(clock::now() >= after(9));
        let hour = start + Duration::from_secs(3600);
        deadline.set_late(Some(hour));
        deadline.set_late(Some(after(11)));
        deadline.passed().await;
        assert!(clock::now() >= after(11));
    }
}
