// SPDX-License-Identifier: GPL-3.0-or-later
//! Doing what the plan says, as far as it can be done at the moment.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::process::Signal;

use super::later::Ending;
use super::{Run, World};
use crate::faults::Fault;
use crate::load::recovery::Death;
use crate::truth::client;
use crate::truth::commander::{Command, Commander};
use crate::world::descriptors;
use crate::world::processes::signal;
use crate::world::service::Part;
use crate::world::site::Beginning;

/// How long the service may take to answer `quit`, and the server what clients it has. The service
/// may be suspended; then nothing is done.
const ANSWER: Duration = Duration::from_millis(500);

impl Run {
    /// Does one thing, and counts it if it could be done. Whether it was done.
    pub(super) fn apply(&mut self, fault: Fault) -> anyhow::Result<bool> {
        let done = match fault {
            Fault::Add(count) => {
                let peers = self.choose(count, Presence::Absent);
                self.give(&peers.into_iter().map(Command::Add).collect::<Vec<_>>())
            }
            Fault::Remove(count) if self.database.permits_removals() => {
                let peers = self.choose(count, Presence::Present);
                self.give(&peers.into_iter().map(Command::Kill).collect::<Vec<_>>())
            }
            Fault::AddAndRemove(count) => {
                let peers = self.choose(count, Presence::Absent);
                let pair = |peer: String| [Command::Add(peer.clone()), Command::Kill(peer)];
                self.give(&peers.into_iter().flat_map(pair).collect::<Vec<_>>())
            }
            Fault::RemoveAndAdd(count) if self.database.permits_additions() => {
                let peers = self.choose(count, Presence::Present);
                let pair = |peer: String| [Command::Kill(peer.clone()), Command::Add(peer)];
                self.give(&peers.into_iter().flat_map(pair).collect::<Vec<_>>())
            }
            Fault::Remove(_) | Fault::RemoveAndAdd(_) => false,
            Fault::Ask(count, script) => {
                let peers = self.choose(count, Presence::Present);
                let World { operator, site, .. } = &self.world;
                let ask = |peer: &String| operator.ask(&site.runtime(), peer, script);
                peers.iter().filter(|peer| ask(peer)).count() > 0
            }
            Fault::Kill(part) => self.end_part(part, Signal::KILL, fault),
            Fault::End(part) => self.end_part(part, Signal::TERM, fault),
            Fault::Stop(part, time) => self.stop(part, time, fault),
            Fault::Upgrade => self.upgrade(),
            Fault::Second(time) => self.second(time)?,
            Fault::KillServer(time) => self.kill_server(time),
            Fault::StopServer(time) => self.stop_server(time),
            Fault::CutConnections => self.cut(),
            Fault::Descriptors(part, spare, time) => self.take_descriptors(part, spare, time),
            Fault::RemoveRuntime => self.remove_runtime(),
            Fault::UnreadLog(part, time) => self.leave_log_unread(part, time),
            Fault::Neighbours(time) => self.let_neighbours_in(time)?,
            Fault::FillDisk(time) => self.fill_disk(time)?,
            Fault::RemoveRecord(_) | Fault::Break(..) => {
                let before = self.database.permits_additions();
                self.database.plan(fault, clock::now());
                before
            }
        };
        if done && !fault.happens_later() {
            self.count(fault);
        }
        Ok(done)
    }

    /// A fault has happened.
    pub(super) fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault.name().to_owned()).or_default() += 1;
    }

    /// Peers that are at the server or are not, by chance.
    pub(super) fn choose(&mut self, count: usize, presence: Presence) -> Vec<String> {
        let account = self.world.watcher.account();
        let mut peers: Vec<String> = match presence {
            Presence::Present => account.present.iter().cloned().collect(),
            Presence::Absent if self.database.permits_additions() => {
                let absent = |peer: &String| !account.present.contains(peer);
                self.world.peers.names().filter(absent).collect()
            }
            Presence::Absent => Vec::new(),
        };
        drop(account);
        let mut chosen = Vec::new();
        while chosen.len() < count && !peers.is_empty() {
            let index = usize::try_from(self.rng.below(peers.len() as u64)).unwrap_or(0);
            chosen.push(peers.swap_remove(index));
        }
        chosen
    }

    pub(super) fn give(&mut self, commands: &[Command]) -> bool {
        let Some(commander) = &mut self.world.commander else {
            return false;
        };
        // A server that has just died is noticed by the watcher.
        !commands.is_empty() && commander.give(commands, &self.world.watcher).is_ok()
    }

    fn end_part(&mut self, part: Part, what: Signal, fault: Fault) -> bool {
        let pid = self.world.service.pid(part);
        let Some(pid) = pid.filter(|pid| self.end(part, *pid, what)) else {
            return false;
        };
        if what == Signal::KILL {
            self.time_recovery(Death::Part(part, pid));
        }
        self.note(format!("{} (process {pid})", fault.name()));
        true
    }

    /// Measures from now on how long it takes until the service works again.
    fn time_recovery(&self, death: Death) {
        if let Some(observer) = self.load.observers.first() {
            let mut seen = observer.seen();
            let view = seen.stream.view();
            seen.recovery.died(death, view, clock::now());
        }
    }

    fn stop(&mut self, part: Part, time: Duration, fault: Fault) -> bool {
        let pid = self.world.service.pid(part);
        let Some(pid) = pid.filter(|pid| !self.later.will_signal(*pid)) else {
            return false;
        };
        self.note(format!(
            "{} (process {pid}) for {} ms",
            fault.name(),
            time.as_millis()
        ));
        signal(pid, Signal::STOP);
        self.later.put(time, Ending::Signal(pid, Signal::CONT));
        true
    }

    /// A server that does not answer keeps its peers, and the service its connection. Commands of
    /// the test that have not been answered in time would be carried out later, so none is given
    /// meanwhile but those about peers.
    fn stop_server(&mut self, time: Duration) -> bool {
        let pid = self.world.lab.pid();
        let Some(pid) = pid.filter(|_| !self.is_server_stopped()) else {
            return false;
        };
        // Warnings that did not get through are in the log.
        if self.world.site.logs.is_any_paused() {
            return false;
        }
        self.note(format!("stop server for {} ms", time.as_millis()));
        signal(pid, Signal::STOP);
        self.later.put(time, Ending::Signal(pid, Signal::CONT));
        true
    }

    fn is_server_stopped(&self) -> bool {
        let pid = self.world.lab.pid();
        pid.is_some_and(|pid| self.later.will_signal(pid))
    }

    fn take_descriptors(&mut self, part: Part, spare: u64, time: Duration) -> bool {
        // What core of the drop-in program starts inherits its limit.
        let has_helper =
            part == Part::Scripts || (part == Part::Core && self.world.site.layout.is_drop_in());
        let pid = self.world.service.pid(part);
        let Some(pid) = pid.filter(|pid| !self.later.will_raise(*pid)) else {
            return false;
        };
        if has_helper && !self.endanger_journal() {
            return false;
        }
        let Some(lowered) = descriptors::lower(pid, spare) else {
            return false;
        };
        self.note(format!(
            "{} (process {pid}) may open {spare} descriptors for {} ms",
            part.name(),
            time.as_millis()
        ));
        self.later.put(time, Ending::Descriptors(lowered));
        true
    }

    /// Removes the directory of the sockets, in which the drop-in program has the journal too.
    fn remove_runtime(&mut self) -> bool {
        let has_journal = self.world.site.layout.is_drop_in();
        if has_journal && !self.endanger_journal() {
            return false;
        }
        let removed = std::fs::remove_dir_all(self.world.site.runtime()).is_ok();
        if removed {
            self.note("the runtime directory is removed".to_owned());
        }
        removed
    }

    /// A log that is not read has what the service says while it has no server, and a process that
    /// is killed takes its unread lines with it. So the server stays meanwhile.
    fn leave_log_unread(&mut self, part: Part, time: Duration) -> bool {
        let has_server = self.world.lab.pid().is_some() && self.world.watcher.account().watching;
        if !has_server || self.is_server_stopped() || !self.world.site.pause_log(part, time) {
            return false;
        }
        let (name, time) = (part.name(), time.as_millis());
        self.note(format!("nobody reads the log of {name} for {time} ms"));
        true
    }

    fn fill_disk(&mut self, time: Duration) -> anyhow::Result<bool> {
        let volume = &self.world.site.volume;
        if !volume.can_be_full() || volume.is_full() || !self.endanger_journal() {
            return Ok(false);
        }
        self.note(format!("the disk is full for {} ms", time.as_millis()));
        self.world.site.volume.fill(time)?;
        Ok(true)
    }

    fn let_neighbours_in(&mut self, time: Duration) -> anyhow::Result<bool> {
        let World {
            site, processes, ..
        } = &self.world;
        let pid = processes.start(&mut site.neighbour()?)?;
        let who = if site.has_stranger {
            "another user"
        } else {
            "this user"
        };
        let time_in_words = time.as_millis();
        self.note(format!(
            "{who} is hostile (process {pid}) for {time_in_words} ms"
        ));
        self.later.put(time, Ending::Signal(pid, Signal::KILL));
        Ok(true)
    }

    fn second(&mut self, time: Duration) -> anyhow::Result<bool> {
        // It would take the place of the one that knows what is not in the journal.
        if !self.is_journal_safe() {
            return Ok(false);
        }
        let World {
            site, processes, ..
        } = &self.world;
        let pid = processes.start(&mut site.scripts()?)?;
        let text = format!("second script helper (process {pid}) for");
        self.note(format!("{text} {} ms", time.as_millis()));
        self.later.put(time, Ending::Signal(pid, Signal::KILL));
        Ok(true)
    }

    fn upgrade(&mut self) -> bool {
        if !self.is_journal_safe() || self.is_server_stopped() {
            return false;
        }
        let socket = self.world.site.server_socket();
        let asked = client::ask(&socket, "SVCSUBMIT connect quit", ANSWER);
        if asked.is_ok() {
            self.note("the service has answered quit; another is started".to_owned());
            self.world.service.replace(Part::Core);
        }
        asked.is_ok()
    }

    fn kill_server(&mut self, time: Duration) -> bool {
        // The peers of a server that nobody watched yet would not be known.
        if self.world.site.beginning == Beginning::Later
            || self.world.site.logs.is_any_paused()
            || self.world.lab.pid().is_none()
            || self.is_server_stopped()
            || !self.world.watcher.account().watching
        {
            return false;
        }
        self.note("kill server".to_owned());
        self.time_recovery(Death::Server);
        let start_at: Monotonic = clock::now() + time;
        self.world.lab.kill(&self.world.watcher, start_at);
        self.world.commander = None;
        true
    }

    fn cut(&mut self) -> bool {
        if self.world.site.logs.is_any_paused() || self.is_server_stopped() {
            return false;
        }
        let watcher = self.world.watcher.account().watcher.clone();
        let commander = self.world.commander.as_ref().and_then(Commander::number);
        let (Some(watcher), Some(commander)) = (watcher, commander) else {
            return false;
        };
        let socket = self.world.site.server_socket();
        let cut = client::cut_others(&socket, &[watcher, commander], ANSWER);
        let count = cut.unwrap_or_default();
        if count > 0 {
            self.note(format!("cut connection ({count})"));
        }
        count > 0
    }
}

/// Whether the server has a peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    Present,
    Absent,
}
