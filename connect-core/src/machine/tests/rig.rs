// SPDX-License-Identifier: GPL-3.0-or-later
//! A rig for the machine: the test plays the server, both helpers and the operators, line by line
//! and message by message, and the clock stands still unless it is moved.

use std::path::PathBuf;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Envelope, HelperStatus, Request};
use connect_ipc::pinger::{FromPinger, PingOrder, ToPinger, Watched};
use connect_ipc::scripts::{FromScripts, Run, ToScripts};
use connect_ipc::{PeerId, RunId};
use peerdb::{Database, Record};

use super::super::{Config, ConnectionId, Machine};
use connect_plan::pinging::PingKind;

/// A machine in the hands of a test.
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) now: Monotonic,
    /// Everything sent and not yet looked at.
    pub(super) to_pinger: Vec<ToPinger>,
    pub(super) to_scripts: Vec<ToScripts>,
    pub(super) answers: Vec<(ConnectionId, Answer)>,
    pub(super) ended: bool,
    /// Whether the pinger leaves it to the test to answer that it proceeds.
    pub(super) slow_pinger: bool,
    lines: Vec<String>,
}

impl Rig {
    /// A machine with a database, its helpers connected, its server not yet.
    pub(super) fn new(records: &[Record]) -> Self {
        let mut rig = Rig::alone(records, false);
        rig.pinger_comes();
        rig.scripts_come();
        rig
    }

    /// A machine with a database, and nothing connected.
    pub(super) fn alone(records: &[Record], startup: bool) -> Self {
        let now = Monotonic(1_000_000_000_000);
        let mut rig = Rig {
            machine: Machine::new(Config {
                version: "9.9".to_owned(),
                socket: PathBuf::from("tripesock"),
                database: PathBuf::from("peers.cdb"),
                startup,
                ping: PingKind::Transport,
                script_limit: None,
                started: now,
            }),
            now,
            to_pinger: Vec::new(),
            to_scripts: Vec::new(),
            answers: Vec::new(),
            ended: false,
            slow_pinger: false,
            lines: Vec::new(),
        };
        rig.database(records);
        rig
    }

    /// As [`Rig::new`], joined with a server that has these peers.
    pub(super) fn joined(records: &[Record], peers: &[&str]) -> Self {
        let mut rig = Rig::new(records);
        rig.join(peers);
        rig
    }

    /// A server with these peers is there.
    pub(super) fn join(&mut self, peers: &[&str]) {
        self.meet(peers);
        self.lines.clear();
    }

    /// The same, but what core then asks is kept, to be answered.
    pub(super) fn meet(&mut self, peers: &[&str]) {
        self.meet_after(None, peers);
    }

    /// The same with a server whose service somebody provides, in this version, until core claims it.
    pub(super) fn meet_after(&mut self, predecessor: Option<&str>, peers: &[&str]) {
        self.machine.server_connected(self.now);
        self.collect();
        self.hear("OK");
        if self.lines.iter().any(|line| line == "SVCQUERY connect") {
            match predecessor {
                Some(version) => {
                    self.hear(&format!("INFO name=connect version={version}"));
                    self.hear("OK");
                }
                None => self.hear("FAIL unknown-service connect"),
            }
        }
        self.hear("OK");
        for peer in peers {
            self.hear(&format!("INFO {peer}"));
        }
        self.lines.clear();
        self.hear("OK");
    }

    /// The server answers everything that it was asked, until nothing more is asked.
    pub(super) fn answer_all(&mut self) {
        while !self.lines.is_empty() {
            for line in self.sent() {
                let mut words = line.split(' ');
                let info = match (words.next(), words.next()) {
                    // It is heard of later, or never.
                    (_, Some("-background")) => {
                        let tag = words.next().unwrap_or_default();
                        self.hear(&format!("BGDETACH {tag}"));
                        continue;
                    }
                    (Some("IFNAME"), _) => Some("INFO tun0"),
                    (Some("ADDR"), _) => Some("INFO INET 192.0.2.1 1"),
                    (Some("ALGS"), _) => Some("INFO cipher=rijndael"),
                    _ => None,
                };
                if let Some(info) = info {
                    self.hear(info);
                }
                self.hear("OK");
            }
        }
    }

    pub(super) fn database(&mut self, records: &[Record]) {
        let users = [("u", "passive"), ("ghost", "nobody")];
        let users = users.map(|(user, peer)| (user.to_owned(), peer.to_owned()));
        let database = Database::from_parts(records.to_vec(), users, Vec::new());
        self.machine.database(Ok(database), self.now);
        self.collect();
    }

    pub(super) fn pinger_comes(&mut self) {
        self.machine.pinger_connected(HelperStatus::default());
        self.pinger_says(FromPinger::Resume(Vec::new()));
    }

    pub(super) fn scripts_come(&mut self) {
        self.machine.scripts_connected(HelperStatus::default());
        self.scripts_say(FromScripts::Resume(Vec::new()));
    }

    /// The server says a line.
    pub(super) fn hear(&mut self, line: &str) {
        self.machine.server_line(line, self.now);
        self.collect();
    }

    pub(super) fn pinger_says(&mut self, message: FromPinger) {
        self.machine.from_pinger(message, self.now);
        self.collect();
    }

    /// The pinger asks for a ping now.
    pub(super) fn order(&mut self, peer: PeerId, seq: u32) {
        self.order_ahead(peer, seq, self.now);
    }

    /// The pinger asks for a ping at `due`.
    pub(super) fn order_ahead(&mut self, peer: PeerId, seq: u32, due: Monotonic) {
        self.pinger_says(FromPinger::Ping(vec![PingOrder { peer, seq, due }]));
    }

    pub(super) fn scripts_say(&mut self, message: FromScripts) {
        self.machine.from_scripts(message, self.now);
        self.collect();
    }

    pub(super) fn request(&mut self, connection: u64, id: u64, request: Request) {
        let envelope = Envelope { id, request };
        self.machine
            .request(ConnectionId(connection), "test", envelope, self.now);
        self.collect();
    }

    /// Time passes.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.machine.tick(self.now);
        self.collect();
    }

    /// The server is out of reach.
    pub(super) fn lose_server(&mut self) {
        self.machine.server_lost(self.now);
        self.collect();
    }

    fn collect(&mut self) {
        let out = self.machine.take_outputs();
        if !self.slow_pinger {
            let proceeds = |message: &&ToPinger| matches!(message, ToPinger::Proceed {});
            for _ in out.to_pinger.iter().filter(proceeds) {
                self.machine
                    .from_pinger(FromPinger::Proceeding {}, self.now);
            }
        }
        self.to_pinger.extend(out.to_pinger);
        self.to_scripts.extend(out.to_scripts);
        self.answers.extend(out.answers);
        self.ended |= out.ending.is_some();
        let mut bytes = Vec::new();
        self.machine.drain_lines(&mut bytes);
        let text = String::from_utf8(bytes).expect("lines are text");
        self.lines.extend(text.lines().map(str::to_owned));
    }

    /// The lines sent to the server since this was last asked.
    pub(super) fn sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// The present number of a peer.
    pub(super) fn id(&self, name: &str) -> PeerId {
        self.machine.peers.find(name).expect("a known peer")
    }

    /// What the pinger was told to watch since this was last asked.
    pub(super) fn watched(&mut self) -> Vec<Watched> {
        let told = self
            .to_pinger
            .drain(..)
            .filter_map(|message| match message {
                ToPinger::Watch(list) => Some(list),
                _ => None,
            });
        told.flatten().collect()
    }

    /// The runs ordered since this was last asked.
    pub(super) fn ordered(&mut self) -> Vec<Run> {
        let told = self
            .to_scripts
            .drain(..)
            .filter_map(|message| match message {
                ToScripts::Run(runs) => Some(runs),
                _ => None,
            });
        told.flatten().collect()
    }

    /// The same, by number and kind.
    pub(super) fn runs(&mut self) -> Vec<(RunId, &'static str)> {
        let runs = self.ordered();
        runs.iter().map(|run| (run.run, run.kind.name())).collect()
    }
}

/// A record.
pub(super) fn record(name: &str, pairs: &[(&str, &str)]) -> Record {
    Record::new(name, pairs.iter().copied())
}
