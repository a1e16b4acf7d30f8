// SPDX-License-Identifier: GPL-3.0-or-later
//! Doing what the plan says, as far as it can be done at the moment.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::process::Signal;

use super::{Later, Run, World};
use crate::faults::Fault;
use crate::truth::client;
use crate::truth::commander::{Command, Commander};
use crate::world::processes::signal;
use crate::world::service::Part;
use crate::world::site::Beginning;

/// How long the service may take to answer `quit`, and the server what clients it has. The service
/// may be suspended; then nothing is done.
const ANSWER: Duration = Duration::from_millis(500);

impl Run {
    /// Does one thing, and counts it if it could be done.
    pub(super) fn apply(&mut self, fault: Fault) -> anyhow::Result<()> {
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
            Fault::Kill(part) => self.signal(part, Signal::KILL, fault),
            Fault::End(part) => self.signal(part, Signal::TERM, fault),
            Fault::Stop(part, time) => self.stop(part, time, fault),
            Fault::Upgrade => self.upgrade(),
            Fault::Second(time) => self.second(time)?,
            Fault::KillServer(time) => self.kill_server(time),
            Fault::CutConnections => self.cut(),
            Fault::Strike(_) | Fault::Break(..) => {
                let before = self.database.permits_additions();
                self.database.plan(fault, clock::now());
                before
            }
        };
        if done {
            *self.counts.entry(fault.name().to_owned()).or_default() += 1;
        }
        Ok(())
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

    fn signal(&mut self, part: Part, what: Signal, fault: Fault) -> bool {
        let Some(pid) = self.world.service.pid(part) else {
            return false;
        };
        self.note(format!("{} (process {pid})", fault.name()));
        signal(pid, what);
        true
    }

    fn stop(&mut self, part: Part, time: Duration, fault: Fault) -> bool {
        let pid = self.world.service.pid(part);
        let Some(pid) = pid.filter(|pid| self.later.iter().all(|other| other.pid != *pid)) else {
            return false;
        };
        self.note(format!(
            "{} (process {pid}) for {} ms",
            fault.name(),
            time.as_millis()
        ));
        signal(pid, Signal::STOP);
        self.send_later(pid, time, Signal::CONT);
        true
    }

    fn send_later(&mut self, pid: i32, time: Duration, signal: Signal) {
        let at = clock::now() + time;
        self.later.push(Later { pid, at, signal });
    }

    fn second(&mut self, time: Duration) -> anyhow::Result<bool> {
        let World {
            site, processes, ..
        } = &self.world;
        let pid = processes.start(&mut site.scripts()?)?;
        let text = format!("second script helper (process {pid}) for");
        self.note(format!("{text} {} ms", time.as_millis()));
        self.send_later(pid, time, Signal::KILL);
        Ok(true)
    }

    fn upgrade(&mut self) -> bool {
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
            || self.world.lab.pid().is_none()
            || !self.world.watcher.account().watching
        {
            return false;
        }
        self.note("kill server".to_owned());
        let start_at: Monotonic = clock::now() + time;
        self.world.lab.kill(&self.world.watcher, start_at);
        self.world.commander = None;
        true
    }

    fn cut(&mut self) -> bool {
        let watcher = self.world.watcher.account().watcher.clone();
        let commander = self.world.commander.as_ref().and_then(Commander::number);
        let (Some(watcher), Some(commander)) = (watcher, commander) else {
            return false;
        };
        let cut = client::cut_others(
            &self.world.site.server_socket(),
            &[watcher, commander],
            ANSWER,
        );
        if cut.is_ok() {
            self.note("cut connection".to_owned());
        }
        cut.is_ok()
    }
}

/// Whether the server has a peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    Present,
    Absent,
}
