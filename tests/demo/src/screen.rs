// SPDX-License-Identifier: GPL-3.0-or-later
//! What the demo prints: headings, and the events of both hosts as they happen.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tripe_lab::{LabHandle, What};

use crate::words;

/// How long a printer waits for an event before it looks whether the demo is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// The terminal, and the time since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    start: Instant,
    colour: bool,
}

impl Screen {
    /// Colours are used on a terminal unless `NO_COLOR` is set.
    pub(crate) fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            start: Instant::now(),
            colour: std::io::stdout().is_terminal() && !plain,
        }
    }

    fn print(self, code: &str, text: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        let (on, off) = if self.colour {
            (code, "\x1b[0m")
        } else {
            ("", "")
        };
        // A closed pipe is no reason to stop half-way.
        let _ = writeln!(std::io::stdout(), "{on}{seconds:5.1}s  {text}{off}");
    }

    /// What the demo does.
    pub(crate) fn heading(self, text: &str) {
        self.print("\x1b[1m", &format!("== {text}"));
    }

    /// A host's event.
    fn event(self, host: &str, line: &str) {
        let code = if line.starts_with("WARN") {
            "\x1b[33m"
        } else {
            "\x1b[2m"
        };
        self.print(code, &format!("   {host:4} {}", words::sentence(line)));
    }

    /// Prints a host's broadcasts from now on, until `over`.
    pub(crate) fn follow(
        self,
        host: &'static str,
        lab: &LabHandle,
        over: Arc<AtomicBool>,
    ) -> JoinHandle<()> {
        let mut follower = lab.follow();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let event = follower.next_within(PATIENCE, "an event", |what| {
                    matches!(what, What::Broadcast(_) | What::Started | What::Stopped)
                });
                match event.map(|event| event.what) {
                    Ok(What::Broadcast(line)) => self.event(host, &line),
                    Ok(What::Stopped) => self.event(host, "the server is dead"),
                    Ok(What::Started) => self.event(host, "the server has started"),
                    // Nothing in this while.
                    Ok(_) | Err(_) => {}
                }
            }
        })
    }
}
