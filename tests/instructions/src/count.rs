// SPDX-License-Identifier: GPL-3.0-or-later
//! Counting under callgrind.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Instructions of one run of a path: what twice as many runs take more, shared among them, so that
/// starting, setting up and ending cancel out.
pub(crate) fn per_run(path: &str, times: u32) -> anyhow::Result<u64> {
    // Counting does not care what else the machine does, so both are counted at the same time.
    let (once, twice) = std::thread::scope(|scope| {
        let once = scope.spawn(|| collected(path, times));
        let twice = collected(path, times * 2);
        (once.join(), twice)
    });
    let once = once.map_err(|_| anyhow::anyhow!("the counting thread has died"))??;
    let twice = twice?;
    Ok(twice.saturating_sub(once) / u64::from(times))
}

/// All instructions of a process that runs a path so many times.
fn collected(path: &str, times: u32) -> anyhow::Result<u64> {
    let program = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["play", path, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind; install it with: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "valgrind: {}: {said}",
        output.status
    );
    said.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok())
        .with_context(|| format!("valgrind has counted nothing: {said}"))
}
