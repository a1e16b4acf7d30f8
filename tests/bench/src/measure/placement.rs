// SPDX-License-Identifier: GPL-3.0-or-later
//! Where processes run: as the scheduler likes, or some of them together on one processor.
//!
//! Two processes that take turns on two processors each wait for the other's processor to wake up,
//! which on a virtual machine takes as long as a request and depends on how long it has slept. On
//! one processor what is left is the work.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Threads that may run on one processor only, until this is dropped.
#[derive(Debug)]
pub(crate) struct Together {
    threads: Vec<Option<Pid>>,
    before: CpuSet,
}

impl Together {
    /// Puts the calling thread and the main threads of these processes onto one processor.
    pub(crate) fn with(processes: &[i32]) -> anyhow::Result<Self> {
        let before = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu));
        let mut one = CpuSet::new();
        one.set(first.unwrap_or(0));
        let others = processes.iter().filter_map(|pid| Pid::from_raw(*pid));
        let held = Together {
            threads: others.map(Some).chain([None]).collect(),
            before,
        };
        for thread in &held.threads {
            sched_setaffinity(*thread, &one)?;
        }
        Ok(held)
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        for thread in &self.threads {
            // It may have ended.
            let _ = sched_setaffinity(*thread, &self.before);
        }
    }
}
