// SPDX-License-Identifier: GPL-3.0-or-later
//! What ends the faults that take a while.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::process::Signal;

use crate::world::descriptors::Lowered;
use crate::world::processes::signal;

/// What ends a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// A process gets a signal.
    Signal(i32, Signal),
    /// A process may open descriptors again.
    Descriptors(Lowered),
}

impl Ending {
    fn happen(self) {
        match self {
            Ending::Signal(pid, what) => signal(pid, what),
            Ending::Descriptors(lowered) => lowered.raise(),
        }
    }
}

/// The endings that are still to come.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<(Monotonic, Ending)>);

impl Later {
    /// Something is to happen after this time.
    pub(super) fn put(&mut self, time: Duration, ending: Ending) {
        self.0.push((clock::now() + time, ending));
    }

    /// Whether a signal is to come to a process.
    pub(super) fn will_signal(&self, pid: i32) -> bool {
        let mut endings = self.0.iter();
        endings.any(|(_, ending)| matches!(ending, Ending::Signal(other, _) if *other == pid))
    }

    /// Whether a process is to get its descriptors back.
    pub(super) fn will_raise(&self, pid: i32) -> bool {
        let mut endings = self.0.iter();
        endings.any(|(_, ending)| matches!(ending, Ending::Descriptors(it) if it.pid == pid))
    }

    /// Whether any process is to get its descriptors back.
    pub(super) fn will_raise_any(&self) -> bool {
        let mut endings = self.0.iter();
        endings.any(|(_, ending)| matches!(ending, Ending::Descriptors(_)))
    }

    /// The processes that are suspended or have too few descriptors.
    pub(super) fn held_up(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter_map(|(_, ending)| match ending {
            Ending::Signal(pid, Signal::CONT) => Some(*pid),
            Ending::Signal(..) => None,
            Ending::Descriptors(lowered) => Some(lowered.pid),
        })
    }

    /// Does what is due, or everything if there is no time.
    pub(super) fn step(&mut self, now: Option<Monotonic>) {
        self.0.retain(|(at, ending)| {
            let due = now.is_none_or(|now| *at <= now);
            if due {
                ending.happen();
            }
            !due
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::descriptors;

    #[test]
    fn what_is_due_happens_once() {
        let mut later = Later::default();
        // There is no process of this number, so nothing comes of it.
        let (pid, second) = (i32::MAX, Duration::from_secs(1));
        let own = i32::try_from(std::process::id()).unwrap();
        let lowered = descriptors::lower(own, 100).unwrap();
        lowered.raise();
        later.put(Duration::ZERO, Ending::Signal(pid, Signal::CONT));
        later.put(60 * second, Ending::Descriptors(lowered));
        later.step(Some(clock::now() + second));
        assert!(!later.will_signal(pid) && later.will_raise(own) && later.will_raise_any());
        later.step(None);
        assert!(!later.will_raise_any());
        later.put(second, Ending::Signal(pid, Signal::KILL));
        assert_eq!(later.held_up().count(), 0);
        later.put(second, Ending::Signal(pid, Signal::CONT));
        assert_eq!(later.held_up().collect::<Vec<_>>(), [pid]);
    }
}
