// SPDX-License-Identifier: GPL-3.0-or-later
//! The world: it plays a plan, and tells a watcher what it sees.

pub(crate) mod aims;
pub(crate) mod shared;

mod carry_out;
mod step;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::growth::Grown;
use crate::host::Host;
use crate::plan::{HostId, Plan};
use crate::promise::{Broken, Promise};
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use shared::Shared;

pub use crate::truth::Truth;

/// How a plan is played.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Who provides the service.
    pub provider: Provider,
    /// The directory for recordings of core, if they are wanted.
    pub recording: Option<PathBuf>,
    /// What the digest is made of.
    pub digest: Digesting,
    /// Whether every message between processes is encoded and decoded, and not one in 64.
    pub frames: bool,
}

/// Who provides the service.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Core, pinger and script helper.
    #[default]
    Product,
    /// The service of the manual.
    Manual,
}

/// What the digest of a run is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digesting {
    /// Nothing.
    Off,
    /// The lines of the server and its clients, and what happens to scripts.
    #[default]
    Lines,
    /// Every input and output of every machine.
    Everything,
}

/// What came of a run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// How many steps it took.
    pub steps: u64,
    /// How many pings core sent.
    pub pings: u64,
    /// How many scripts were started.
    pub scripts: u64,
    /// How many jobs the service was given.
    pub jobs: u64,
    /// The digest of everything that [`How::digest`] says.
    pub digest: u64,
    /// What happened to the faults.
    pub coverage: Coverage,
    /// How much the machines held, if the run was long.
    pub growth: Vec<Grown>,
}

/// A world.
#[derive(Debug)]
pub struct World<W> {
    plan: Plan,
    hosts: Vec<Host>,
    /// The faults whose time has come.
    begun: BTreeSet<usize>,
    shared: Shared<W>,
}

/// How many steps there may be at one instant before that counts as spinning.
const STEPS: u32 = 1_000_000;

impl<W: Watcher> World<W> {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(plan: &Plan, how: How, watcher: W) -> Self {
        let shared = Shared::new(plan, how, watcher);
        let sites = plan.site.hosts.iter().zip(0u8..);
        let hosts = sites.map(|(site, number)| Host::new(HostId(number), site, &shared));
        World {
            hosts: hosts.collect(),
            begun: BTreeSet::new(),
            plan: plan.clone(),
            shared,
        }
    }

    /// Plays the plan until its end, or until a promise is broken.
    pub fn run(mut self) -> (W, Result<Summary, Broken>) {
        self.begin();
        let (mut last, mut count) = (self.shared.now, 0);
        while self.shared.broken.is_none()
            && let Some((at, step)) = self.shared.queue.pop()
            && at <= self.plan.until
        {
            count = if at == last { count + 1 } else { 0 };
            last = at;
            if count > STEPS {
                let text = "nothing else happens than steps at one instant".to_owned();
                self.shared.fail(Promise::Turns, HostId(0), text);
            }
            self.shared.now = at;
            self.shared.summary.steps += 1;
            self.step(step);
        }
        self.end()
    }

    fn begin(&mut self) {
        for host in &mut self.hosts {
            host.boot(&mut self.shared);
            host.place_partners(&mut self.shared);
        }
        // Not on a full second, on which all that a host does may fall after it has slept: each
        // look would come between what is sent and its arrival.
        let first = Duration::from_millis(60_013);
        self.shared.after(first, Step::Minute(1));
        for (index, timed) in self.plan.faults.iter().enumerate() {
            self.shared.queue.push(timed.at, Step::Fault(index));
        }
        let quiet = Step::Calm(carry_out::QUIET);
        self.shared.queue.push(self.plan.quiet_from, quiet);
    }

    fn end(mut self) -> (W, Result<Summary, Broken>) {
        if self.shared.broken.is_none() {
            self.shared.now = self.plan.until;
            for host in &self.hosts {
                let view = host.view(&self.shared);
                let (at, watcher) = (self.shared.now, &mut self.shared.watcher);
                if let Err(broken) = watcher.see(at, host.id, Seen::End(view)) {
                    self.shared.broken.get_or_insert(broken);
                }
            }
        }
        let growth = self.shared.growth.lines();
        if let Some(leak) = growth.iter().find(|line| line.is_leak()) {
            self.shared
                .fail(Promise::Sizes, leak.host, leak.to_string());
        }
        let mut summary = self.shared.summary;
        summary.growth = growth;
        summary.digest = self.shared.digest.sum();
        let result = match self.shared.broken {
            Some(broken) => Err(broken),
            None => Ok(summary),
        };
        (self.shared.watcher, result)
    }
}
