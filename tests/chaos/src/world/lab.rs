// SPDX-License-Identifier: GPL-3.0-or-later
//! The lab server, killed and started again.

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::process::Signal;

use super::processes::{Processes, signal};
use super::site::Site;
use crate::truth::watcher::Watcher;

/// The server.
#[derive(Debug)]
pub(crate) struct Lab {
    seed: u64,
    pid: Option<i32>,
    /// When it is to be started again.
    start_at: Monotonic,
}

impl Lab {
    /// A server that is started when it is first tended.
    pub(crate) fn new(seed: u64) -> Self {
        Lab {
            seed,
            pid: None,
            start_at: clock::now(),
        }
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Kills it; it is started again later.
    pub(crate) fn kill(&mut self, watcher: &Watcher, start_at: Monotonic) {
        if let Some(pid) = self.pid.take() {
            watcher.account().server_killed = Some(clock::now());
            signal(pid, Signal::KILL);
            self.start_at = start_at;
        }
    }

    /// Starts it if that is due. Nobody but us ends it.
    pub(crate) fn tend(
        &mut self,
        site: &Site,
        processes: &Processes,
        watcher: &Watcher,
    ) -> anyhow::Result<()> {
        if let Some(pid) = self.pid {
            let end = processes.ended(pid);
            anyhow::ensure!(end.is_none(), "the lab server has ended by itself: {end:?}");
        } else if self.start_at <= clock::now() {
            watcher.account().server_started = clock::now();
            self.pid = Some(processes.start(&mut site.server(self.seed)?)?);
        }
        Ok(())
    }
}
