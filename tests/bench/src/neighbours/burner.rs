// SPDX-License-Identifier: GPL-3.0-or-later
//! A process that only computes, as much and at the same times as another one did.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// How long one part of the plan is.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// A plan as one word: the microseconds to compute in each slice.
pub(crate) fn plan(slices: &[Duration]) -> String {
    let mut plan = String::new();
    for slice in slices {
        // Writing to a string does not fail.
        let _ = write!(plan, "{},", slice.as_micros());
    }
    plan
}

/// Follows a plan, over and over.
pub(crate) fn play(plan: &str) -> anyhow::Result<()> {
    let slices = plan.split_terminator(',').map(str::parse::<u64>);
    let slices: Vec<u64> = slices
        .collect::<Result<_, _>>()
        .with_context(|| format!("a plan is numbers with commas between: {plan}"))?;
    anyhow::ensure!(!slices.is_empty(), "a plan has a slice at least");
    let mut until = Instant::now();
    let mut owed = computed();
    for slice in slices.iter().cycle() {
        until += SLICE;
        owed += Duration::from_micros(*slice);
        // What this slice has no time for is done in the next one.
        while computed() < owed && Instant::now() < until {
            std::hint::black_box((0..1_000u64).sum::<u64>());
        }
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Processor time of this process so far.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
