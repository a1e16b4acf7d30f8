// SPDX-License-Identifier: GPL-3.0-or-later
//! A process as such: whether it lives, when it goes on, and when it is started again.

use std::time::Duration;

use crate::instant::Instant;

/// The first pause before a process that has ended is started again
/// (connect-core/src/helper_process.rs).
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A process that lived this long is started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// The process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// How often it was started.
    pub(crate) life: u32,
    pub(crate) lives: bool,
    started: Instant,
    /// When it goes on by itself.
    pub(crate) wake: Option<Instant>,
    pub(crate) stands_until: Option<Instant>,
    /// After how many more outputs it is killed.
    pub(crate) kill_after: Option<u32>,
    pause: Duration,
    /// It is not started before this: another program is installed in its place.
    pub(crate) held_until: Option<Instant>,
}

impl Process {
    /// It is started.
    pub(crate) const fn start(&mut self, now: Instant) {
        self.life += 1;
        self.lives = true;
        self.started = now;
        self.wake = None;
        self.stands_until = None;
        self.kill_after = None;
    }

    /// It has ended. Gives how long its supervisor waits before it starts it again.
    pub(crate) fn end(&mut self, now: Instant) -> Duration {
        self.lives = false;
        self.wake = None;
        self.stands_until = None;
        self.kill_after = None;
        if now.since(self.started) >= STEADY {
            self.pause = Duration::ZERO;
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        pause
    }

    /// Whether it is able to do something now.
    pub(crate) fn is_able(&self, now: Instant) -> bool {
        self.lives && self.stands_until.is_none_or(|until| until <= now)
    }

    /// It is about to carry out an output: whether it dies instead.
    pub(crate) const fn dies_here(&mut self) -> bool {
        match &mut self.kill_after {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// It is to go on at this instant, if something is due. Gives the instant if a step for it is
    /// to be put into the queue.
    pub(crate) fn set_wake(&mut self, due: Option<Instant>, now: Instant) -> Option<Instant> {
        let due = due.map(|due| due.max(now));
        if due == self.wake {
            return None;
        }
        self.wake = due;
        due
    }
}
