// SPDX-License-Identifier: GPL-3.0-or-later
//! fping, pinging as many loopback addresses as there are peers, at the same pace.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::measure::{process, window};

/// How long it may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running fping. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Fping {
    child: Child,
    /// Its targets; kept here so that the file exists as long as it is read.
    _targets: tempfile::NamedTempFile,
}

impl Drop for Fping {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fping {
    /// Starts it, and waits for its first pings; an error says why it cannot be had.
    pub(crate) fn start(peers: usize, period: Duration) -> anyhow::Result<Self> {
        let targets = targets(peers)?;
        let before = process::echo_requests()?;
        let child = command(&targets, peers, period)
            .args(["-q", "-l"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("fping cannot be started")?;
        let mut running = Fping {
            child,
            _targets: targets,
        };
        let started = Instant::now();
        while process::echo_requests()? - before < peers as u64 {
            if let Some(status) = running.child.try_wait()? {
                anyhow::bail!("fping has ended: {status}");
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "fping does not ping");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    /// What it costs, over a while.
    pub(crate) fn cost(&self, length: Duration) -> anyhow::Result<window::Cost> {
        window::watch(&[self.pid()?], length, process::echo_requests)
    }
}

/// How far the times between two of its pings of one target were from the period, in milliseconds.
pub(crate) fn period_errors(
    peers: usize,
    period: Duration,
    periods: u32,
) -> anyhow::Result<Vec<f64>> {
    let targets = targets(peers)?;
    let output = command(&targets, peers, period)
        .args(["-D", "-c", &(periods + 1).to_string()])
        .stderr(Stdio::null())
        .output()
        .context("fping cannot be started")?;
    let mut last: HashMap<&str, f64> = HashMap::new();
    let mut errors = Vec::new();
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        // [1700000000.12345] 127.1.0.1 : [0], 64 bytes, 0.01 ms (0.01 avg, 0% loss)
        let parsed = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "));
        let Some((at, rest)) = parsed else { continue };
        let at: f64 = at.parse()?;
        let target = rest.split(' ').next().unwrap_or_default();
        if let Some(before) = last.insert(target, at) {
            errors.push((at - before - period.as_secs_f64()).abs() * 1e3);
        }
    }
    anyhow::ensure!(!errors.is_empty(), "fping has told nothing");
    Ok(errors)
}

/// A file of so many loopback addresses.
fn targets(peers: usize) -> anyhow::Result<tempfile::NamedTempFile> {
    let mut targets = tempfile::NamedTempFile::new()?;
    let mut list = String::new();
    for n in 0..peers {
        // 127.1.0.1 and on; all of 127.0.0.0/8 is this host.
        let (high, middle, low) = (1 + n / 62_500, n / 250 % 250, n % 250 + 1);
        writeln!(list, "127.{high}.{middle}.{low}")?;
    }
    targets.write_all(list.as_bytes())?;
    Ok(targets)
}

/// fping with these targets, at a pace that lets all of them have their turn in each period.
fn command(targets: &tempfile::NamedTempFile, peers: usize, period: Duration) -> Command {
    let millis = period.as_secs_f64() * 1e3;
    // It waits this long after each ping, beside what the ping takes; so with half of what would
    // just fit in it keeps the period as long as it can at all.
    let interval = (millis * 0.5 / peers as f64).max(0.01);
    let mut command = Command::new("fping");
    command
        .args(["-p", &format!("{millis}")])
        .args(["-i", &format!("{interval:.2}"), "-f"])
        .arg(targets.path())
        .stdin(Stdio::null());
    command
}
