// SPDX-License-Identifier: GPL-3.0-or-later
//! How far a campaign is: each second on a terminal, else each minute.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::totals::{Totals, grouped};

/// Says how far a campaign is.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    begun: Instant,
    said: Instant,
    /// How many runs there were before.
    before: u64,
    /// How many there will be.
    runs: u64,
}

#[expect(clippy::disallowed_methods, reason = "progress is shown by the clock")]
impl Progress {
    /// Of so many runs, after those that were before.
    pub(crate) fn new(before: u64, runs: u64) -> Self {
        Progress {
            is_terminal: std::io::stderr().is_terminal(),
            begun: Instant::now(),
            said: Instant::now(),
            before,
            runs,
        }
    }

    /// Says how far it is, if it is time for that.
    pub(crate) fn tell(&mut self, totals: &Totals) {
        let pause = Duration::from_secs(if self.is_terminal { 1 } else { 60 });
        if self.said.elapsed() < pause {
            return;
        }
        self.said = Instant::now();
        let text = format!(
            "{} of {} runs, last seed {}, {} s, speed {} : 1 a core, {} failures",
            grouped(totals.runs - self.before),
            grouped(self.runs),
            totals.largest.unwrap_or_default(),
            self.begun.elapsed().as_secs(),
            grouped(totals.speed()),
            totals.failures()
        );
        if self.is_terminal {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }

    /// Makes room for something else on the terminal.
    pub(crate) fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
