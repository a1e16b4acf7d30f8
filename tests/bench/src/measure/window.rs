// SPDX-License-Identifier: GPL-3.0-or-later
//! Processor time of some processes over a stretch of time and what was done in it.

use std::time::{Duration, Instant};

use super::process;

/// What a stretch of time cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor time of all processes watched.
    pub cpu: Duration,
    /// How many things were done.
    pub done: u64,
    /// How long it took by the clock.
    pub wall: Duration,
}

impl Cost {
    /// Microseconds of processor time for each thing done.
    pub(crate) fn micros_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done.max(1) as f64
    }

    /// Things done in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.wall.as_secs_f64()
    }
}

/// Watches processes for a while; `done` is a counter that goes up by one for each thing done.
pub(crate) fn watch(
    pids: &[i32],
    length: Duration,
    done: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Cost> {
    let cpu =
        || -> anyhow::Result<Duration> { pids.iter().map(|pid| process::cpu_time(*pid)).sum() };
    let (start, cpu_before, done_before) = (Instant::now(), cpu()?, done()?);
    std::thread::sleep(length);
    let (cpu_after, done_after) = (cpu()?, done()?);
    Ok(Cost {
        cpu: cpu_after.saturating_sub(cpu_before),
        done: done_after - done_before,
        wall: start.elapsed(),
    })
}
