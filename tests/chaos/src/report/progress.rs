// SPDX-License-Identifier: GPL-3.0-or-later
//! A line on the terminal that says how far the run is.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;

use crate::options::Setting;
use crate::run::Run;

/// How often it is written.
const EVERY: Duration = Duration::from_secs(1);

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    seconds: u64,
    shown: bool,
    next: Monotonic,
}

impl Progress {
    /// A line, if standard error is a terminal.
    pub(crate) fn new(setting: &Setting) -> Self {
        Progress {
            seconds: setting.seconds,
            shown: std::io::stderr().is_terminal() && !setting.json,
            next: clock::now(),
        }
    }

    /// Writes it if it is time.
    pub(crate) fn show(&mut self, run: &Run) {
        let now = clock::now();
        if !self.shown || now < self.next {
            return;
        }
        self.next = now + EVERY;
        let made: u64 = run.counts.values().sum();
        let (additions, present) = {
            let account = run.world.watcher.account();
            (account.additions, account.present.len())
        };
        eprint!(
            "\r{} s of {}: {made} faults and bursts, {additions} additions, {present} peers \x1b[K",
            now.since(run.began).as_secs(),
            self.seconds
        );
        // Nothing depends on it.
        let _ = std::io::stderr().flush();
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
