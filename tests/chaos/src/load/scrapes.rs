// SPDX-License-Identifier: GPL-3.0-or-later
//! A monitor that scrapes the metrics of the service every few seconds, by `connect-cli metrics`.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;

use crate::world::processes::Processes;
use crate::world::site::Site;

/// As often as a monitor that is in a hurry: Prometheus does it every 15 s or more.
const EVERY: Duration = Duration::from_secs(3);

/// What a program says that has succeeded.
const SUCCESS: &str = "exit status 0";

/// The monitor.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    /// The one that is under way.
    pid: Option<i32>,
    next: Monotonic,
    pub(crate) made: u64,
    /// Those that got the metrics: the service may be dead or suspended when it is asked.
    pub(crate) answered: u64,
}

impl Scrapes {
    /// Looks after the last scrape, and starts the next one if it is time and so wanted.
    pub(crate) fn tend(
        &mut self,
        site: &Site,
        processes: &Processes,
        wanted: bool,
    ) -> anyhow::Result<()> {
        if let Some(end) = self.pid.and_then(|pid| processes.ended(pid)) {
            self.answered += u64::from(end == SUCCESS);
            self.pid = None;
        }
        let now = clock::now();
        if wanted && self.pid.is_none() && self.next <= now {
            self.pid = Some(processes.start(&mut site.scrape()?)?);
            self.next = now + EVERY;
            self.made += 1;
        }
        Ok(())
    }

    /// Whether none is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.pid.is_none()
    }
}
