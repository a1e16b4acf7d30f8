// SPDX-License-Identifier: GPL-3.0-or-later
//! One host: its processes, and what is round them.

pub(crate) mod additions;
pub(crate) mod children;
pub(crate) mod clients;
pub(crate) mod core;
pub(crate) mod disk;
pub(crate) mod links;
pub(crate) mod names;
pub(crate) mod observers;
pub(crate) mod pinger;
pub(crate) mod process;
pub(crate) mod scripts;
pub(crate) mod server;
mod suffer;
pub(crate) mod supervisor;

use std::time::Duration;

use connect_ipc::clock::Monotonic;

use crate::instant::{HostClock, Instant};
use crate::plan::{HostId, HostSite, Part, When};
use crate::queue::Step;
use crate::seen::{View, Watcher};
use crate::truth::Truth;
use crate::world::shared::Shared;

/// The host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) site: HostSite,
    pub(crate) power: Power,
    pub(crate) server: server::ServerSide,
    pub(crate) wires: server::Wires,
    pub(crate) core: core::CoreSide,
    pub(crate) helpers: Helpers,
    pub(crate) links: links::Links,
    pub(crate) disk: disk::Disk,
    pub(crate) clients: clients::Clients,
    pub(crate) truth: Truth,
}

/// Core's helpers, and the children of one of them.
#[derive(Debug)]
pub(crate) struct Helpers {
    pub(crate) pinger: pinger::PingerSide,
    pub(crate) scripts: scripts::ScriptsSide,
    pub(crate) children: children::Children,
    pub(crate) names: names::Names,
}

/// The machine itself.
#[derive(Debug)]
pub(crate) struct Power {
    pub(crate) clock: HostClock,
    /// From when until when it sleeps.
    pub(crate) sleep: Option<(Instant, Instant)>,
}

impl Host {
    pub(crate) fn new<W: Watcher>(id: HostId, site: &HostSite, shared: &Shared<W>) -> Self {
        let disk = disk::Disk::new(site);
        let truth = Truth {
            site: disk.site.clone(),
            file: Some(disk.site.clone()),
            boots: 1,
            ..Truth::default()
        };
        Host {
            id,
            power: Power {
                clock: HostClock::booted(shared.now),
                sleep: None,
            },
            server: server::ServerSide::new(id, site, shared),
            wires: server::Wires::default(),
            core: core::CoreSide::default(),
            helpers: Helpers {
                pinger: pinger::PingerSide::default(),
                scripts: scripts::ScriptsSide::default(),
                children: children::Children::default(),
                names: names::Names::default(),
            },
            links: links::Links::default(),
            disk,
            clients: clients::Clients::default(),
            truth,
            site: site.clone(),
        }
    }

    /// Starts everything, as at a boot.
    pub(crate) fn boot<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        for (part, millis) in [
            (Part::Server, 0),
            (Part::Core, 50),
            (Part::Pinger, 80),
            (Part::Scripts, 90),
        ] {
            shared.after(Duration::from_millis(millis), Step::Start(self.id, part));
        }
    }

    /// What its clock shows.
    pub(crate) fn clock<W>(&self, shared: &Shared<W>) -> Monotonic {
        self.power.clock.at(shared.now)
    }

    pub(crate) const fn process(&mut self, part: Part) -> &mut process::Process {
        match part {
            Part::Server => &mut self.server.process,
            Part::Core => &mut self.core.process,
            Part::Pinger => &mut self.helpers.pinger.process,
            Part::Scripts => &mut self.helpers.scripts.process,
        }
    }

    /// An instant has come for which a fault may wait.
    pub(crate) fn meet<W: Watcher>(&self, when: When, peer: Option<&str>, shared: &mut Shared<W>) {
        if let Some(fault) = shared.aims.meet(self.id, when, peer) {
            shared.queue.push(shared.now, Step::Fault(fault));
        }
    }

    /// Sets when a process goes on by itself.
    pub(crate) fn set_wake<W>(&mut self, part: Part, due: Option<Instant>, shared: &mut Shared<W>) {
        let (id, now) = (self.id, shared.now);
        let process = self.process(part);
        let life = process.life;
        if let Some(at) = process.set_wake(due, now) {
            shared.queue.push(at, Step::Wake(id, part, life));
        }
    }

    /// The instant at which its clock will show this.
    pub(crate) fn when(&self, shown: Option<Monotonic>) -> Option<Instant> {
        shown.map(|shown| self.power.clock.when(shown))
    }

    /// What may be looked at.
    pub(crate) fn view<W>(&self, shared: &Shared<W>) -> View<'_> {
        View {
            now: self.clock(shared),
            server: self.server.machine.as_ref(),
            core: self.core.machine.as_deref(),
            pinger: self.helpers.pinger.machine.as_ref(),
            scripts: self.helpers.scripts.parts(),
            ledger: &self.disk.journal,
            truth: &self.truth,
        }
    }
}
