// SPDX-License-Identifier: GPL-3.0-or-later
//! The processes of the service in either layout, each started again when it has ended, as systemd
//! or an init script does. Children of theirs are left alone.

use std::fs;
use std::process::Command;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;

use rustix::process::Signal;

use super::guard::MARK;
use super::leftovers::children;
use super::processes::{Processes, signal};
use super::site::Site;
use super::unit::Unit;
use crate::options::Layout;

/// The pause before something that has ended is started again: shorter than that of the units, so
/// that more happens in the same time.
const PAUSE: Duration = Duration::from_millis(100);

/// A part of the service.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    /// Core, or all of `connect`.
    Core,
    Pinger,
    Scripts,
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Part; 3] = [Part::Core, Part::Pinger, Part::Scripts];

    /// In words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Part::Core => "core",
            Part::Pinger => "pinger",
            Part::Scripts => "script helper",
        }
    }

    /// The name of its process. The kernel keeps the first 15 bytes.
    pub(crate) const fn comm(self) -> &'static str {
        match self {
            Part::Core => "connect-core",
            Part::Pinger => "connect-pinger",
            Part::Scripts => "connect-ifscrip",
        }
    }
}

/// A process that is to run all the time.
#[derive(Debug)]
struct Slot {
    part: Part,
    pid: Option<i32>,
    start_at: Monotonic,
    /// As which systemd runs it, once it was told to.
    unit: Option<Unit>,
}

impl Slot {
    /// Has systemd run it, and looks which process it has now. Returns what has ended.
    fn tend_unit(&mut self, site: &Site, processes: &Processes) -> anyhow::Result<Option<String>> {
        let Some(unit) = self.unit else {
            let program = command(site, self.part)?;
            let mark = (MARK, site.directory.as_path());
            let mut start = Unit(self.part).start(&program, mark, &site.path(site.log(self.part)));
            processes.start(&mut start)?;
            self.unit = Some(Unit(self.part));
            return Ok(None);
        };
        let before = self.pid;
        self.pid = unit.pid(before);
        let ended = before.filter(|before| self.pid != Some(*before));
        let name = self.part.name();
        Ok(ended.map(|pid| format!("{name} (process {pid}) has ended")))
    }
}

/// The service.
#[derive(Debug)]
pub(crate) struct Service {
    slots: Vec<Slot>,
    /// Processes in whose place another was started while they had not ended.
    former: Vec<i32>,
    /// How often a part has ended by itself with something other than a signal of ours.
    pub(crate) ends: Vec<(Monotonic, String)>,
}

impl Service {
    /// A service that is started when it is first tended.
    pub(crate) fn new(layout: Layout) -> Self {
        let parts: &[Part] = match layout {
            Layout::DropIn => &[Part::Core],
            Layout::Units | Layout::Systemd => &[Part::Pinger, Part::Scripts, Part::Core],
        };
        let slot = |part: &Part| Slot {
            part: *part,
            pid: None,
            start_at: clock::now(),
            unit: None,
        };
        Service {
            slots: parts.iter().map(slot).collect(),
            former: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Starts what is to run and does not.
    pub(crate) fn tend(&mut self, site: &Site, processes: &Processes) -> anyhow::Result<()> {
        let now = clock::now();
        for slot in &mut self.slots {
            if site.layout == Layout::Systemd {
                let ended = slot.tend_unit(site, processes)?;
                self.ends.extend(ended.map(|text| (now, text)));
                continue;
            }
            if let Some(pid) = slot.pid
                && let Some(end) = processes.ended(pid)
            {
                slot.pid = None;
                slot.start_at = now + PAUSE;
                let text = format!("{} (process {pid}) has ended: {end}", slot.part.name());
                self.ends.push((now, text));
            }
            if slot.pid.is_none() && slot.start_at <= now {
                slot.pid = Some(processes.start(&mut command(site, slot.part)?)?);
            }
        }
        self.former.retain(|pid| processes.ended(*pid).is_none());
        Ok(())
    }

    /// Starts another process in the place of one that is about to end.
    pub(crate) fn replace(&mut self, part: Part) {
        for slot in self.slots.iter_mut().filter(|slot| slot.part == part) {
            self.former.extend(slot.pid.take());
            slot.start_at = clock::now();
        }
    }

    /// Whether a process is about to end in whose place another was started.
    pub(crate) const fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// The process of a part, if it runs.
    pub(crate) fn pid(&self, part: Part) -> Option<i32> {
        if let Some(slot) = self.slots.iter().find(|slot| slot.part == part) {
            return slot.pid;
        }
        // It is a child of `connect`.
        if part == Part::Core {
            return None;
        }
        let is_it = |pid: &i32| {
            let found = fs::read_to_string(format!("/proc/{pid}/comm"));
            found.is_ok_and(|found| found.trim_end() == part.comm())
        };
        children(self.pid(Part::Core)?).into_iter().find(is_it)
    }

    /// Asks all processes to end.
    pub(crate) fn end(&self, processes: &Processes) -> anyhow::Result<()> {
        if self.slots.iter().any(|slot| slot.unit.is_some()) {
            processes.start(&mut Unit::stop_all())?;
        }
        for pid in self.pids() {
            signal(pid, Signal::TERM);
        }
        Ok(())
    }

    /// All processes that are to end for a stop: those started here, and those replaced.
    pub(crate) fn pids(&self) -> Vec<i32> {
        // Core first: then helpers that wait for it.
        let current = self.slots.iter().rev().filter_map(|slot| slot.pid);
        current.chain(self.former.iter().copied()).collect()
    }
}

fn command(site: &Site, part: Part) -> anyhow::Result<Command> {
    match part {
        Part::Core => site.core(),
        Part::Pinger => site.pinger(),
        Part::Scripts => site.scripts(),
    }
}
