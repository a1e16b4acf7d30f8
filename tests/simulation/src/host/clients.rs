// SPDX-License-Identifier: GPL-3.0-or-later
//! Clients of the administration socket other than core: somebody who submits commands to the
//! service, somebody who adds and removes peers, somebody who claims the service, and scripts of
//! other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::RunId;
use tripe_admin::line::Line;
use tripe_lab::server::ClientId;

use super::Host;
use super::children::ChildStep;
use super::core::Arrival;
use super::observers::Viewers;
use crate::plan::{HostId, OthersAct, Part, Partner};
use crate::queue::Step;
use crate::seen::{Seen, Watcher, Who};
use crate::world::shared::Shared;

/// How long somebody who changes peers takes between two commands.
const BETWEEN: Duration = Duration::from_millis(2);

/// Something that happens to a client.
#[derive(Debug)]
pub(crate) enum ClientStep {
    /// This life of core learns that the child of a run has ended.
    ChildEnded(RunId, u32),
    /// A script of another host asks to be connected.
    Ask(HostId, RunId),
    /// Somebody who changes peers gives a command.
    Administer(String),
    /// The rival gives the service up.
    RivalLeaves,
    /// An operator or observer has read what it was sent.
    Drained(ConnectionId),
    /// An operator asks again.
    AsksAgain(ConnectionId),
    /// An operator or observer leaves.
    ViewerLeaves(ConnectionId),
    /// A second helper leaves.
    OtherLeaves(ConnectionId),
    /// A second helper tries to connect, until then.
    OtherHelper(Part, crate::instant::Instant),
}

/// A challenge that a `passive' command was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) peer: String,
    pub(crate) challenge: String,
    /// Of the command.
    tag: String,
    /// Which run of the server has made it.
    pub(crate) run: u64,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    submitter: Option<ClientId>,
    administrator: Option<ClientId>,
    rival: Option<ClientId>,
    /// The scripts of other hosts, and their runs there.
    scripts: BTreeMap<ClientId, (HostId, RunId)>,
    /// The tags of the submitter's open jobs.
    open: BTreeSet<String>,
    tags: u64,
    /// The submitter's `passive' commands that are open: the peers that they wait for, by tag.
    waiting: BTreeMap<String, String>,
    /// The latest challenge that the submitter was told and that nobody has greeted with.
    pub(crate) told: Option<Told>,
    /// After how many more lines of core to the server the submitter cancels a job.
    pub(crate) cancel_after: Option<u32>,
    pub(crate) viewers: Viewers,
}

impl Host {
    /// Somebody submits a command to the service. Whether there is a server.
    pub(crate) fn submit<W: Watcher>(&mut self, words: &[String], shared: &mut Shared<W>) -> bool {
        if self.clients.submitter.is_none() {
            self.clients.submitter = self.open_wire(Who::Submitter, shared);
        }
        let Some(client) = self.clients.submitter else {
            return false;
        };
        self.clients.tags += 1;
        let tag = format!("c{}", self.clients.tags);
        let line = format!("SVCSUBMIT -background {tag} connect {}", words.join(" "));
        if let [command, .., user] = words
            && command == "passive"
            && let Some((_, peer)) = self.site.users.iter().find(|(name, _)| name == user)
        {
            self.clients.waiting.insert(tag.clone(), peer.clone());
        }
        self.clients.open.insert(tag);
        self.client_writes(client, &line, shared);
        true
    }

    /// Whether the command is still open that was told this challenge. One that was cancelled is
    /// not, though the server says nothing of it any more.
    pub(crate) fn is_awaited(&self, told: &Told) -> bool {
        self.clients.open.contains(&told.tag)
    }

    /// The submitter cancels the latest of its jobs. Whether one was open.
    pub(crate) fn cancel<W: Watcher>(&mut self, shared: &mut Shared<W>) -> bool {
        let (client, tag) = (self.clients.submitter, self.clients.open.pop_last());
        let (Some(client), Some(tag)) = (client, tag) else {
            return false;
        };
        self.client_writes(client, &format!("BGCANCEL {tag}"), shared);
        true
    }

    /// Core has written so many lines to the server.
    pub(crate) fn count_lines<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if let Some(left) = self.clients.cancel_after {
            self.clients.cancel_after = left.checked_sub(1);
            if left == 0 && self.cancel(shared) {
                shared.summary.coverage.of("cancel job").effective += 1;
            }
        }
    }

    /// The submitter leaves with its jobs. Whether some were open.
    pub(crate) fn vanish<W: Watcher>(&mut self, shared: &mut Shared<W>) -> bool {
        let Some(client) = self.clients.submitter.take() else {
            return false;
        };
        let had_jobs = !self.clients.open.is_empty();
        self.clients.open.clear();
        self.clients.waiting.clear();
        self.hang_up(client, shared);
        had_jobs
    }

    /// Somebody else does something to a peer.
    pub(crate) fn others<W: Watcher>(
        &mut self,
        peer: &str,
        act: OthersAct,
        shared: &mut Shared<W>,
    ) {
        let add = self.add_line(peer, shared);
        let kill = format!("KILL {peer}");
        match act {
            OthersAct::Add => self.administer(&add, shared),
            OthersAct::Kill => self.administer(&kill, shared),
            OthersAct::KillAndAdd => {
                self.administer(&kill, shared);
                let step = ClientStep::Administer(add);
                shared.after(BETWEEN, Step::Client(self.id, step));
            }
            OthersAct::AddAndKill => {
                self.administer(&add, shared);
                let step = ClientStep::Administer(kill);
                shared.after(BETWEEN, Step::Client(self.id, step));
            }
            OthersAct::Bye => {
                let peer = peer.to_owned();
                self.control(tripe_lab::server::Control::Bye { peer }, shared);
            }
        }
    }

    /// The command that adds a peer, at the address of its partner. Another host that is reached by
    /// a knock does not answer without one.
    pub(crate) fn add_line<W>(&self, peer: &str, shared: &Shared<W>) -> String {
        let address = self.address_of(peer, shared);
        let records = &self.site.records;
        let record = records.iter().find(|record| record.peer == peer);
        let of_host = record.filter(|it| matches!(it.partner, Partner::Host(_)));
        let knock = of_host.and_then(|record| record.get("knock"));
        let knock = knock.map_or(String::new(), |name| format!("-knock {name} "));
        let (ip, port) = (address.ip(), address.port());
        format!("ADD -background a {knock}{peer} INET {ip} {port}")
    }

    /// Where the partner of a peer is.
    pub(crate) fn address_of<W>(&self, peer: &str, shared: &Shared<W>) -> SocketAddr {
        let records = &self.site.records;
        let record = records.iter().find(|record| record.peer == peer);
        match record.map(|record| record.partner) {
            Some(Partner::Host(host)) => shared.network.address(host),
            Some(Partner::Reflected(number)) => self.partner_address(peer, number),
            None => crate::network::reflected(9_999),
        }
    }

    /// Somebody who changes peers gives a command.
    pub(crate) fn administer<W: Watcher>(&mut self, line: &str, shared: &mut Shared<W>) {
        if self.clients.administrator.is_none() {
            self.clients.administrator = self.open_wire(Who::Administrator, shared);
        }
        if let Some(client) = self.clients.administrator {
            self.client_writes(client, line, shared);
        }
    }

    /// Somebody claims the service, if nobody else has done so before.
    pub(crate) fn displace<W: Watcher>(&mut self, version: &str, shared: &mut Shared<W>) {
        if self.clients.rival.is_some() {
            return;
        }
        self.clients.rival = self.open_wire(Who::Rival, shared);
        if let Some(client) = self.clients.rival {
            self.client_writes(client, &format!("SVCCLAIM connect {version}"), shared);
        }
    }

    /// Something happens to a client.
    pub(crate) fn client_step<W: Watcher>(&mut self, step: ClientStep, shared: &mut Shared<W>) {
        match step {
            ClientStep::ChildEnded(run, life) => {
                if life == self.core.process.life {
                    self.tell_core(Arrival::ChildEnded(run), shared);
                }
            }
            ClientStep::Ask(from, run) => self.ask_for(from, run, shared),
            ClientStep::Administer(line) => self.administer(&line, shared),
            ClientStep::RivalLeaves => {
                if let Some(client) = self.clients.rival.take() {
                    self.hang_up(client, shared);
                }
            }
            ClientStep::Drained(connection) => self.drained(connection, shared),
            ClientStep::AsksAgain(connection) => self.asks_again(connection, shared),
            ClientStep::ViewerLeaves(connection) => self.viewer_leaves(connection, shared),
            ClientStep::OtherLeaves(connection) => self.other_leaves(connection, shared),
            ClientStep::OtherHelper(part, until) => self.other_helper(part, until, shared),
        }
    }

    /// The script of a run asks its partner to be connected.
    pub(crate) fn ask_partner<W: Watcher>(
        &self,
        run: RunId,
        peer: &str,
        time: Duration,
        shared: &mut Shared<W>,
    ) {
        let records = &self.site.records;
        let record = records.iter().find(|record| record.peer == peer);
        match record.map(|record| record.partner) {
            Some(Partner::Host(partner)) => {
                let step = ClientStep::Ask(self.id, run);
                shared.after(time, Step::Client(partner, step));
            }
            _ => {
                // No partner looks at what the challenge of a reflected one is.
                let lines = vec!["AAECAwQFBgcICQoLDA0ODw".to_owned()];
                shared.after(time, Step::Child(self.id, run, ChildStep::Says(lines)));
            }
        }
    }

    /// A script of another host asks for a challenge here.
    fn ask_for<W: Watcher>(&mut self, from: HostId, run: RunId, shared: &mut Shared<W>) {
        let records = &self.site.records;
        let peer = records.iter().find(|it| it.partner == Partner::Host(from));
        let peer = peer.map(|record| record.peer.clone());
        let user = peer.and_then(|peer| {
            let users = &self.site.users;
            let user = users.iter().find(|(_, of)| *of == peer);
            user.map(|(user, _)| user.clone())
        });
        let client = self.open_wire(Who::Script(from), shared);
        let (Some(user), Some(client)) = (user, client) else {
            return;
        };
        self.clients.scripts.insert(client, (from, run));
        let line = format!("SVCSUBMIT connect passive {user}");
        self.client_writes(client, &line, shared);
    }

    /// Bytes may have arrived at a client that is not core.
    pub(crate) fn client_reads<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return;
        };
        let arrived = wire.to_client.take(shared.now);
        wire.client_lines.push(&arrived.bytes);
        let mut lines = Vec::new();
        while let Some(line) = wire.client_lines.next_line() {
            if let Line::Text(line) = line {
                lines.push(line.into_owned());
            }
        }
        for line in lines {
            shared.sum(self.id, u64::from(client.0) << 1 | 1, line.as_bytes());
            shared.see(self.id, Seen::Heard(client, &line));
            self.client_hears(client, &line, shared);
        }
        if arrived.ended || arrived.cut {
            self.client_lost(client, shared);
        }
    }

    fn client_hears<W: Watcher>(&mut self, client: ClientId, line: &str, shared: &mut Shared<W>) {
        let mut words = line.split(' ');
        let (verb, first) = (words.next().unwrap_or_default(), words.next());
        if Some(client) == self.clients.submitter {
            if matches!(verb, "BGOK" | "BGFAIL")
                && let Some(tag) = first
            {
                self.clients.open.remove(tag);
                self.clients.waiting.remove(tag);
            }
            if verb == "BGINFO"
                && let (Some(tag), Some(challenge)) = (first, words.next())
                && let Some(peer) = self.clients.waiting.get(tag)
            {
                self.clients.told = Some(Told {
                    peer: peer.clone(),
                    challenge: challenge.to_owned(),
                    tag: tag.to_owned(),
                    run: self.server.runs,
                });
            }
        } else if Some(client) == self.clients.rival {
            // An older version than that of core is refused while core has the service.
            if verb == "OK" {
                shared.summary.coverage.of("displace").effective += 1;
            }
        } else if let Some((from, run)) = self.clients.scripts.get(&client).copied() {
            // Any trouble is what a real script would write to its standard error.
            if verb == "INFO"
                && let Some(challenge) = first
            {
                let step = ChildStep::Says(vec![challenge.to_owned()]);
                shared.after(Duration::from_millis(5), Step::Child(from, run, step));
            } else if matches!(verb, "OK" | "FAIL") {
                self.clients.scripts.remove(&client);
                self.hang_up(client, shared);
            }
        }
    }

    fn client_lost<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        let clients = &mut self.clients;
        if clients.submitter == Some(client) {
            clients.submitter = None;
            clients.open.clear();
            clients.waiting.clear();
        }
        for known in [&mut clients.administrator, &mut clients.rival] {
            if *known == Some(client) {
                *known = None;
            }
        }
        clients.scripts.remove(&client);
        self.hang_up(client, shared);
    }
}
