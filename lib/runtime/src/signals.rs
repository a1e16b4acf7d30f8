// SPDX-License-Identifier: GPL-3.0-or-later
//! The signals that ask a program to end.

use std::io;

use rustix::process::Signal as Number;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a helper gets whose parent ends: from the parent, or from the system if the parent is
/// killed. The threads of a parent that is killed end one after the other, and the signal may come
/// once for each, so it must not count as a second request to end.
pub const PARENT_DEATH: Number = Number::USR1;

/// Why a program is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndSignal {
    /// Somebody asks for it: `SIGTERM` or `SIGINT`.
    Asked,
    /// Its parent ends or has died, if it was started with `--parent`: `SIGUSR1`.
    ParentDied,
}

/// `SIGTERM`, `SIGINT` and `SIGUSR1`, caught from the moment that this is made.
#[derive(Debug)]
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    parent_death: Signal,
}

impl EndSignals {
    /// Catches the signals.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(EndSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent_death: signal(SignalKind::from_raw(PARENT_DEATH.as_raw()))?,
        })
    }

    /// Waits for the next of them. Cancel safe.
    pub async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Asked,
            _ = self.interrupt.recv() => EndSignal::Asked,
            _ = self.parent_death.recv() => EndSignal::ParentDied,
        }
    }
}
