// SPDX-License-Identifier: GPL-3.0-or-later
//! A rig for the machine: the test plays the server, both helpers and the operators, line by line
//! and message by message, and the clock only moves when the test moves it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::control::{
    Answer, Envelope, HelperStatus, PeerStatus, Reply, Request, ServerLink, ServiceStatus,
};
use connect_ipc::event::Event;
use connect_ipc::event_filter::{EventFilter, EventKinds};
use connect_ipc::hello::Role;
use connect_ipc::pinger::{FromPinger, PingOrder, PingResult, ToPinger, Watched};
use connect_ipc::scripts::{Child, Ended, EndedRun, FromScripts, Run, ToScripts, UnderWay};
use connect_ipc::{PeerId, RunId};
use peerdb::{Database, Record};
use tripe_admin::Interval;

use super::super::{
    Config, ConnectionId, DatabaseCopy, Ending, Inherited, Input, Loaded, Machine, Output, State,
};
use connect_ipc::setup::{ServerRun, Setup, SetupChange, SetupPage};
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;

/// A machine in the hands of a test.
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) now: Monotonic,
    /// Everything sent and not yet looked at.
    pub(super) to_pinger: Vec<ToPinger>,
    pub(super) to_scripts: Vec<ToScripts>,
    pub(super) answers: Vec<(ConnectionId, Answer)>,
    /// Those who have not read the rows that they were sent.
    unread: Vec<ConnectionId>,
    /// Told while somebody observes.
    pub(super) events: Vec<Event>,
    pub(super) secrets: Vec<String>,
    /// How core ended.
    pub(super) ended: Option<Ending>,
    /// The helpers that are to be started again.
    pub(super) restarts: Vec<Role>,
    pub(super) watched_children: Vec<RunId>,
    /// What the script helper keeps of the setups that were made for peers.
    pub(super) kept: Vec<Setup>,
    /// And which scripts have failed, which it tells first.
    pub(super) kept_failures: Vec<EndedRun>,
    /// Whether it tells of one setup at a time, and of the first only.
    pub(super) by_page: bool,
    /// Whether the pinger leaves it to the test to answer that it proceeds.
    pub(super) slow_pinger: bool,
    /// Whether the test has a script helper that answers for itself.
    pub(super) has_script_helper: bool,
    /// Which run of the server is connected to.
    pub(super) run: u64,
    /// The connection of the pinger, and that of the script helper; each new one has a new number.
    pinger: ConnectionId,
    scripts: ConnectionId,
    next_connection: u64,
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
        Rig::waiting(records, startup, None)
    }

    /// The same, waiting for its server for a limited time.
    pub(super) fn waiting(
        records: &[Record],
        startup: bool,
        server_wait: Option<Interval>,
    ) -> Self {
        let mut rig = Rig::without_database(startup, server_wait);
        rig.database(records);
        rig
    }

    /// The same, whose database was not read yet.
    pub(super) fn without_database(startup: bool, server_wait: Option<Interval>) -> Self {
        let now = Monotonic(1_000_000_000_000);
        Rig {
            machine: Machine::new(Config {
                version: "9.9".to_owned(),
                socket: PathBuf::from("tripesock"),
                database: PathBuf::from("peers.cdb"),
                boot: Some(BootId("this".to_owned())),
                pid: 1,
                startup,
                ping: PingKind::Transport,
                script_limit: None,
                hooks: DefaultHooks::default(),
                exit_on_disconnect: false,
                server_wait,
                started: now,
            }),
            now,
            to_pinger: Vec::new(),
            to_scripts: Vec::new(),
            answers: Vec::new(),
            unread: Vec::new(),
            events: Vec::new(),
            secrets: Vec::new(),
            ended: None,
            restarts: Vec::new(),
            watched_children: Vec::new(),
            kept: Vec::new(),
            kept_failures: Vec::new(),
            by_page: false,
            slow_pinger: false,
            has_script_helper: false,
            run: 1,
            pinger: ConnectionId(0),
            scripts: ConnectionId(0),
            next_connection: 1_000,
            lines: Vec::new(),
        }
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

    /// The same with a server whose service somebody provides, in this version, until core claims
    /// it.
    pub(super) fn meet_after(&mut self, predecessor: Option<&str>, peers: &[&str]) {
        self.connect_server();
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

    /// A core that finds a damaged database.
    pub(super) fn with_damaged_database(startup: bool) -> Self {
        let mut rig = Rig::without_database(startup, None);
        let fault = "it is damaged".to_owned();
        rig.feed(Input::Database(Loaded::Faulty { fault }));
        rig
    }

    /// What the next core reads if this one ends now.
    pub(super) fn saved(&mut self) -> State {
        self.take_orders();
        let (_, state) = self.machine.state().expect("it has joined");
        let text = serde_json::to_string(&state).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Whether a peer is added in the next minutes, or was since the last look at the lines.
    pub(super) fn adds(&mut self, name: &str) -> bool {
        let mut sent = self.sent();
        self.wait(Duration::from_secs(600));
        sent.extend(self.sent());
        let is_it = |line: &String| line.starts_with("ADD ") && line.contains(&format!(" {name} "));
        sent.iter().any(is_it)
    }

    pub(super) fn database(&mut self, records: &[Record]) {
        self.database_with_auto(records, &[]);
    }

    /// A database is read that has these peers added at start-up.
    pub(super) fn database_with_auto(&mut self, records: &[Record], auto: &[&str]) {
        let auto = auto.iter().map(|name| (*name).to_owned());
        let users = [("u", "passive"), ("ghost", "nobody")];
        let users = users.map(|(user, peer)| (user.to_owned(), peer.to_owned()));
        let database = Database::from_parts(records.to_vec(), users, auto);
        self.feed(Input::Database(Loaded::from(Ok(database))));
    }

    /// Hands in an input and ends the turn.
    pub(super) fn feed(&mut self, input: Input<'_>) {
        let (before, asked) = (self.to_pinger.len(), self.to_scripts.len());
        let mut outputs = Vec::new();
        self.machine.handle(input, self.now, &mut outputs);
        self.machine
            .handle(Input::EndOfTurn, self.now, &mut outputs);
        self.machine.peers.check();
        self.machine.scripts.check();
        for output in outputs {
            self.collect(output);
        }
        for connection in std::mem::take(&mut self.unread) {
            self.feed(Input::Drained(connection));
        }
        let proceeds = |message: &&ToPinger| matches!(message, ToPinger::Proceed { .. });
        let told = self.to_pinger.get(before..).unwrap_or_default();
        for _ in 0..told.iter().filter(proceeds).count() {
            if !self.slow_pinger {
                self.pinger_says(FromPinger::Proceeding {});
            }
        }
        let asked = self.to_scripts.get(asked..).unwrap_or_default();
        let recalled = asked.iter().find_map(|message| match message {
            ToScripts::Recall(after) => Some(after.clone()),
            _ => None,
        });
        match recalled {
            Some(Some(_)) | None => {}
            Some(None) if self.has_script_helper => {}
            Some(None) => {
                let count = if self.by_page { 1 } else { self.kept.len() };
                let page = SetupPage {
                    setups: self.kept.iter().take(count).cloned().collect(),
                    more: self.by_page,
                };
                if !self.kept_failures.is_empty() {
                    let failures = self.kept_failures.clone();
                    self.scripts_say(FromScripts::Failures(failures));
                }
                self.scripts_say(FromScripts::Setups(page));
            }
        }
    }

    /// A connection to the server is made.
    pub(super) fn connect_server(&mut self) {
        let run = Some(server_run(self.run));
        self.feed(Input::ServerConnected { run });
    }

    fn new_connection(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }

    /// A pinger connects and has said nothing yet.
    pub(super) fn pinger_connects(&mut self) {
        if self.pinger != ConnectionId(0) {
            self.pinger_goes();
        }
        self.pinger = self.new_connection();
        let (connection, status) = (self.pinger, HelperStatus::default());
        self.feed(Input::PingerConnected { connection, status });
    }

    pub(super) fn pinger_comes(&mut self) {
        self.pinger_connects();
        self.pinger_says(FromPinger::Resume(Vec::new()));
    }

    pub(super) fn pinger_goes(&mut self) {
        self.feed(Input::Gone(self.pinger));
    }

    pub(super) fn scripts_come(&mut self) {
        self.scripts_come_with(Vec::new());
    }

    /// A script helper comes that has these runs.
    pub(super) fn scripts_come_with(&mut self, runs: Vec<UnderWay>) {
        self.scripts_connect();
        self.scripts_say(FromScripts::Resume(runs));
    }

    /// A script helper connects and has said nothing yet.
    pub(super) fn scripts_connect(&mut self) {
        if self.scripts != ConnectionId(0) {
            self.scripts_go();
        }
        self.scripts = self.new_connection();
        let (connection, status) = (self.scripts, HelperStatus::default());
        self.feed(Input::ScriptsConnected { connection, status });
    }

    pub(super) fn scripts_go(&mut self) {
        self.feed(Input::Gone(self.scripts));
    }

    /// An earlier core has left this about the server.
    pub(super) fn inherit(&mut self, state: State) {
        self.inherit_all(state, None);
    }

    /// The same, with the database that it used.
    pub(super) fn inherit_all(&mut self, state: State, database: Option<DatabaseCopy>) {
        let run = Some(server_run(self.run));
        self.feed(Input::Inherited(Box::new(Inherited {
            run,
            state,
            database,
        })));
    }

    /// The server says a line.
    pub(super) fn hear(&mut self, line: &str) {
        self.feed(Input::ServerLine(line.into()));
    }

    pub(super) fn pinger_says(&mut self, message: FromPinger) {
        self.feed(Input::Pinger(self.pinger, message));
    }

    /// The pinger asks for a ping now.
    pub(super) fn order(&mut self, peer: PeerId, seq: u32) {
        self.order_ahead(peer, seq, self.now);
    }

    /// The pinger asks for a ping at `due`.
    pub(super) fn order_ahead(&mut self, peer: PeerId, seq: u32, due: Monotonic) {
        self.pinger_says(FromPinger::Ping(vec![PingOrder { peer, seq, due }]));
    }

    /// The next ping of the peer `p` ends so.
    pub(super) fn ping(&mut self, result: PingResult) {
        let id = self.id("p");
        let adoption = self.machine.peers.get(id).unwrap().adoption().unwrap();
        let seq = adoption.liveness.phase().last_seq + 1;
        self.order(id, seq);
        self.machine.ping_result(id, seq, result);
        self.stand_still(Duration::ZERO);
    }

    pub(super) fn scripts_say(&mut self, message: FromScripts) {
        self.feed(Input::Scripts(self.scripts, message));
    }

    /// The runs were started and have ended well.
    pub(super) fn scripts_end(&mut self, runs: impl IntoIterator<Item = RunId>) {
        for run in runs {
            let child = Child {
                pid: 7,
                start_time: 7,
            };
            self.scripts_say(FromScripts::Started { run, child });
            let end = Ended::Exited(0);
            self.scripts_say(FromScripts::Ended { run, end });
        }
    }

    pub(super) fn request(&mut self, connection: u64, id: u64, request: Request) {
        self.feed(Input::Request {
            connection: ConnectionId(connection),
            by: "test".into(),
            user: Some(1000),
            envelope: Envelope { id, request },
        });
    }

    /// Every row that an operator sees.
    pub(super) fn rows(&mut self) -> Vec<PeerStatus> {
        self.answers.clear();
        self.request(1, 1, Request::Status {});
        let replies = self.answers.drain(..).map(|(_, answer)| answer.reply);
        let lists = replies.filter_map(|reply| match reply {
            Reply::Peers(peers) => Some(peers.list),
            _ => None,
        });
        lists.flatten().collect()
    }

    /// Somebody wants all events from now on.
    pub(super) fn observe(&mut self) {
        let filter = EventFilter {
            kinds: EventKinds::ALL,
            state: false,
            ..EventFilter::default()
        };
        self.request(999, 1, Request::Events(filter));
        self.answers.pop();
    }

    /// The service as `status` shows it.
    pub(super) fn service(&mut self) -> ServiceStatus {
        self.answers.clear();
        self.request(1, 1, Request::Status {});
        match &self.answers[0].1.reply {
            Reply::Service(service) => (**service).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Time passes, and the machine is awake at each of its deadlines.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due < end) {
            self.now = self.now.max(due);
            self.feed(Input::EndOfTurn);
        }
        self.stand_still(end.since(self.now));
    }

    /// Time passes, and core does not run.
    pub(super) fn stand_still(&mut self, time: Duration) {
        self.now = self.now + time;
        self.feed(Input::EndOfTurn);
    }

    /// The server cannot be reached.
    pub(super) fn lose_server(&mut self) {
        let reason = "it closed the connection".to_owned();
        self.feed(Input::ServerLost { reason });
    }

    fn collect(&mut self, output: Output) {
        match output {
            Output::ServerLines(bytes) => {
                // What is sent to nobody would be answered out of turn by the next server.
                assert_ne!(self.machine.link(), ServerLink::Down);
                let text = tripe_admin::bytes::decode(&bytes);
                self.lines.extend(text.lines().map(str::to_owned));
            }
            Output::ToPinger(connection, message) => {
                assert_eq!(connection, self.pinger);
                self.to_pinger.push(message);
            }
            Output::ToScripts(connection, message) => {
                assert_eq!(connection, self.scripts);
                self.to_scripts.push(message);
            }
            Output::Answer(connection, answer) => self.answers.push((connection, answer)),
            Output::Rows { to, rows, .. } => {
                for (connection, id) in to {
                    let reply = Reply::Peers(rows.clone());
                    self.answers.push((connection, Answer { id, reply }));
                    self.unread.push(connection);
                }
            }
            Output::Event(event) => self.events.push(event),
            Output::Secret(secret) => self.secrets.push(secret),
            Output::End(ending) => self.ended = Some(ending),
            Output::RestartHelper(role) => self.restarts.push(role),
            Output::WatchChild(run, _) => self.watched_children.push(run),
            _ => {}
        }
    }

    /// The lines sent to the server since this was last asked.
    pub(super) fn sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// Whether core has nothing to say to the server or the pinger.
    pub(super) fn is_silent(&self) -> bool {
        self.lines.is_empty() && self.to_pinger.is_empty()
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
                ToPinger::Watch { peers, .. } => Some(peers),
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

    /// The script helper has everything in its journal that it was told and that was not looked at.
    pub(super) fn take_orders(&mut self) {
        let told: Vec<RunId> = self
            .to_scripts
            .iter()
            .filter_map(|message| match message {
                ToScripts::Run(runs) => Some(runs[0].run),
                ToScripts::Setup(change) => Some(change.number),
                _ => None,
            })
            .collect();
        for run in told {
            self.scripts_say(FromScripts::Taken(run));
        }
    }

    /// What a script helper that lived through everything since this was last asked would keep.
    pub(super) fn setups(&mut self) -> Vec<Setup> {
        let mut kept = BTreeMap::new();
        for message in self.to_scripts.drain(..) {
            match message {
                ToScripts::Run(runs) => {
                    let change = |run: Run| Some((run.setup_key(), (run.setup?, run.run)));
                    kept.extend(runs.into_iter().filter_map(change));
                }
                ToScripts::Setup(SetupChange { setup, number }) => {
                    kept.insert(setup.key, (setup.state, number));
                }
                _ => {}
            }
        }
        let setup = |(key, (state, number))| Setup {
            key,
            state,
            number: Some(number),
        };
        kept.into_iter().map(setup).collect()
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

/// One run of the server after the other.
fn server_run(number: u64) -> ServerRun {
    let text = format!(r#"{{"device":1,"inode":{number},"made":[3,4]}}"#);
    serde_json::from_str(&text).expect("a run")
}
