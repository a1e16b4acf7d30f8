// SPDX-License-Identifier: GPL-3.0-or-later
//! A user who asks for the state once a second, as `connect-cli status` does, and reads all of it.

use std::path::Path;
use std::time::{Duration, Instant};

use connect_ipc::control::{Reply, Request};

use crate::operator::Operator;

/// How often it asks.
const PERIOD: Duration = Duration::from_secs(1);

/// How long it rests after it was refused.
const REST: Duration = Duration::from_millis(5);

/// How long it asks for the same without success.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks so many times, and prints the milliseconds that each answer took.
pub(crate) fn play(socket: &Path, times: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut took = Vec::new();
    for time in 0..times {
        let due = begun + PERIOD * time;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        while let Err(error) = ask(socket) {
            anyhow::ensure!(asked.elapsed() < PATIENCE, "no state: {error:#}");
            std::thread::sleep(REST);
        }
        took.push(format!("{:.3}", asked.elapsed().as_secs_f64() * 1e3));
    }
    println!("{}", took.join(" "));
    Ok(())
}

fn ask(socket: &Path) -> anyhow::Result<()> {
    let replies = Operator::connect(socket)?.ask(Request::Status {})?;
    let last = replies.last();
    anyhow::ensure!(
        last == Some(&Reply::Done {}),
        "the answer ended in {last:?}"
    );
    Ok(())
}
