// SPDX-License-Identifier: GPL-3.0-or-later
//! The world of one peer in which core and the script helper are real: the server, the journal, the
//! processes of scripts, and what is on its way between them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use connect_ifscripts::ledger::{Entry, Ledger, Origin};
use connect_ifscripts::machine::{Input as HelperInput, Machine as Helper, Output as HelperOutput};
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::control::{Request, ServerLink};
use connect_ipc::scripts::{
    Child, Ended, FromScripts, InterfaceScript, Run, ScriptKind, ToScripts,
};
use connect_ipc::setup::ByLane;
use peerdb::Record;

use super::super::{Input, Loaded, State};
use super::rig::{Rig, record};
use super::undecided::started_at;

/// How many scripts of each lane run at once.
const PLACES: ByLane<usize> = ByLane {
    interface: 2,
    connection: 2,
};

const CHILD: Child = Child {
    pid: 7,
    start_time: 0,
};

const ORIGIN: Origin = Origin { at: 7, session: 8 };

/// The scripts in the peer's record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hooks {
    Interface,
    Connection,
    Both,
}

impl Hooks {
    /// Each script that makes something, with the one that undoes it.
    fn pairs(self) -> Vec<(ScriptKind, ScriptKind)> {
        let interface = (ScriptKind::Ifup, ScriptKind::Ifdown);
        let connection = (ScriptKind::Connect, ScriptKind::Disconnect);
        match self {
            Hooks::Interface => vec![interface],
            Hooks::Connection => vec![connection],
            Hooks::Both => vec![interface, connection],
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Each of the four directions proceeds by so many messages.
    ServerReads(usize),
    CoreHears(usize),
    HelperReads(usize),
    CoreReadsHelper(usize),
    /// The helper may start a script, which can be started or cannot.
    Turn(bool),
    /// One of the scripts that run ends.
    Exit(usize),
    /// All that is on its way arrives.
    Flow,
    Wait,
    /// The peer is added, with the interface of this number.
    Add(u8),
    Kill,
    Kick,
    /// An operator orders the peer's `ifup`.
    OrderIfup,
    /// The server notes another address of the peer, which may have any.
    Move,
    /// The server renames the peer's interface, and core hears of it at once, if it is connected.
    Rename,
    /// The peer's record is removed from the database.
    Strike,
    LoseServer,
    /// The server and the helper are connected to if they are not.
    Connect,
    NewServer,
    /// The next core finds a damaged database.
    BreakDatabase,
    RestoreDatabase,
    /// Core writes its state file.
    Save,
    CoreDies,
    /// Core dies in its next turn that sends something to the helper, after so many lines to the
    /// server and so many messages to the helper.
    CoreDiesAfter(usize, usize),
    /// Core ends and saves its state.
    CoreEnds,
    /// The connection of core and the helper breaks.
    Unlink,
    HelperDies,
    /// The helper dies after so many further things that it does.
    HelperDiesAfter(usize),
}

/// A script that was started.
struct Process {
    kind: ScriptKind,
    alive: bool,
    /// Which helper started it: only that one learns how it ends.
    parent: usize,
}

/// A script that was to be started.
#[derive(Debug)]
pub(super) struct Start {
    run: RunId,
    kind: ScriptKind,
    /// Whether it could be started, as far as anybody can tell.
    works: bool,
}

pub(super) struct World {
    hooks: Hooks,
    records: Vec<Record>,
    rig: Rig,
    /// The state file, and the run of the server that it was written about.
    saved: Option<(u64, State)>,
    is_database_broken: bool,
    dies_after: Option<(usize, usize)>,
    /// Whether the record was ever removed: what was added meanwhile has no scripts.
    was_struck: bool,
    /// How often an operator has ordered `ifup`, or `kick` was sent.
    causes: usize,
    helper: Helper,
    helpers: usize,
    helper_dies_after: Option<usize>,
    scripts: Scripts,
    link: HelperLink,
    server: Server,
}

/// What outlives the helper, and what its process has done.
#[derive(Default)]
struct Scripts {
    outbox: Outbox,
    journal: Vec<Entry>,
    processes: BTreeMap<RunId, Process>,
    starts: Vec<Start>,
}

impl Scripts {
    /// The children of the runs that were just being started when the helper died. Of others it is
    /// not known whether they were started; they count as if they were.
    fn find(&mut self, ledger: &Ledger) -> BTreeMap<RunId, Child> {
        let mut found = BTreeMap::new();
        for (run, _) in ledger.being_started() {
            let process = self.processes.get(&run);
            if process.is_some_and(|process| process.alive) {
                found.insert(run, CHILD);
            }
            if let Some(start) = self.starts.iter_mut().find(|start| start.run == run) {
                start.works = true;
            } else if let Some(known) = ledger.run(run) {
                let kind = known.under_way.kind;
                let works = true;
                self.starts.push(Start { run, kind, works });
            }
        }
        found
    }
}

/// The connection of core and the helper.
#[derive(Default)]
struct HelperLink {
    is_up: bool,
    to_helper: VecDeque<ToScripts>,
    to_core: VecDeque<FromScripts>,
}

impl HelperLink {
    fn set(&mut self, is_up: bool) {
        *self = HelperLink {
            is_up,
            ..HelperLink::default()
        };
    }
}

/// The server, which may have the peer.
#[derive(Default)]
struct Server {
    is_connected: bool,
    /// Whether core is told of what happens.
    watches: bool,
    has_claimed: bool,
    has_peer: bool,
    interface: u8,
    port: u16,
    /// How often the peer was added.
    adds: usize,
    jobs: usize,
    to_core: VecDeque<String>,
    from_core: VecDeque<String>,
}

impl Server {
    fn connect(&mut self, is_connected: bool) {
        self.is_connected = is_connected;
        (self.watches, self.has_claimed) = (false, false);
        self.to_core.clear();
        self.from_core.clear();
    }

    fn tell(&mut self, line: &str) {
        if self.is_connected && self.watches {
            self.to_core.push_back(line.to_owned());
        }
    }

    fn add(&mut self, interface: u8) {
        if !std::mem::replace(&mut self.has_peer, true) {
            self.adds += 1;
            self.interface = interface;
            self.tell(&format!("NOTE ADD p tun{interface} {}", self.address()));
        }
    }

    fn address(&self) -> String {
        format!("INET 192.0.2.1 {}", self.port)
    }

    fn move_peer(&mut self) {
        self.port += 1;
        if self.has_peer {
            self.tell(&format!("NOTE NEWADDR p {}", self.address()));
        }
    }

    fn kill(&mut self) {
        if std::mem::take(&mut self.has_peer) {
            self.tell("NOTE KILL p");
        }
    }

    fn kick(&mut self) {
        if self.has_claimed {
            self.jobs += 1;
            let job = format!("SVCJOB J{} connect kick p", self.jobs);
            self.to_core.push_back(job);
        }
    }

    /// Takes one line of core's. There is a second peer, which is always there.
    fn read(&mut self) {
        let Some(line) = self.from_core.pop_front() else {
            return;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let is_missing = words.last() == Some(&"p") && !self.has_peer;
        let interface = format!("INFO tun{}", self.interface);
        let address = format!("INFO {}", self.address());
        let mut answers: Vec<&str> = Vec::new();
        match words.first().copied().unwrap_or_default() {
            "WATCH" => self.watches = true,
            "SVCCLAIM" => self.has_claimed = true,
            "LIST" => {
                answers.push("INFO q");
                answers.extend(self.has_peer.then_some("INFO p"));
            }
            "IFNAME" | "ADDR" | "ALGS" | "KILL" | "FORCEKX" if is_missing => {
                return self.to_core.push_back("FAIL unknown-peer p".to_owned());
            }
            "IFNAME" => answers.push(&interface),
            "ADDR" => answers.push(&address),
            "ALGS" => answers.push("INFO cipher=rijndael"),
            "KILL" => self.kill(),
            _ => {}
        }
        answers.push("OK");
        self.to_core.extend(answers.into_iter().map(str::to_owned));
    }
}

impl World {
    pub(super) fn new(hooks: Hooks) -> Self {
        Self::begun(hooks, false)
    }

    /// A world in which the server has the peer before the service comes.
    pub(super) fn with_peer(hooks: Hooks) -> Self {
        Self::begun(hooks, true)
    }

    fn begun(hooks: Hooks, has_peer: bool) -> Self {
        let mut pairs = vec![
            ("peer", "INET 192.0.2.1 1"),
            ("watch", "t"),
            ("every", "1h"),
            ("mobile", "t"),
        ];
        if hooks != Hooks::Connection {
            pairs.extend([("ifup", "up"), ("ifdown", "down")]);
        }
        if hooks != Hooks::Interface {
            pairs.extend([("connect", "on"), ("disconnect", "off")]);
        }
        let records = vec![
            record("p", &pairs),
            record("q", &[("peer", "INET 192.0.2.9 1")]),
        ];
        let mut rig = Rig::alone(&records, false);
        rig.has_script_helper = true;
        let mut world = World {
            hooks,
            records,
            rig,
            saved: None,
            is_database_broken: false,
            dies_after: None,
            was_struck: false,
            causes: 0,
            helper: Helper::new(PLACES),
            helpers: 1,
            helper_dies_after: None,
            scripts: Scripts::default(),
            link: HelperLink::default(),
            server: Server::default(),
        };
        world.server.has_peer = has_peer;
        world.connect();
        world.flow();
        world.save();
        world
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::ServerReads(count) => (0..count).for_each(|_| self.server.read()),
            Step::CoreHears(count) => (0..count).for_each(|_| self.core_hears()),
            Step::HelperReads(count) => (0..count).for_each(|_| self.helper_reads()),
            Step::CoreReadsHelper(count) => (0..count).for_each(|_| self.core_reads_helper()),
            Step::Turn(works) => self.turn(works),
            Step::Exit(which) => self.exit(which),
            Step::Flow => self.flow(),
            Step::Wait => self.wait(),
            Step::Add(interface) => self.server.add(interface),
            Step::Kill => self.server.kill(),
            Step::Kick => {
                self.causes += 1;
                self.server.kick();
            }
            Step::OrderIfup => {
                self.causes += 1;
                let (peer, script) = ("p".to_owned(), InterfaceScript::Ifup);
                self.rig.request(1, 1, Request::RunScript { peer, script });
                self.pass_on();
            }
            Step::Move => self.server.move_peer(),
            Step::Rename => self.rename(),
            Step::Strike => {
                self.was_struck = true;
                self.rig.database(&self.records[1..]);
                self.pass_on();
            }
            Step::LoseServer => self.lose_server(),
            Step::Connect => self.connect(),
            Step::NewServer => {
                if self.rig.machine.server.joined_before() {
                    self.server.has_peer = false;
                    self.lose_server();
                    self.rig.run += 1;
                }
            }
            Step::BreakDatabase => self.is_database_broken = true,
            Step::RestoreDatabase => self.restore_database(),
            Step::Save => self.save(),
            Step::CoreDies => self.core_dies(),
            Step::CoreDiesAfter(lines, messages) => self.dies_after = Some((lines, messages)),
            Step::CoreEnds => {
                self.save();
                self.core_dies();
            }
            Step::Unlink => self.unlink(),
            Step::HelperDies => self.helper_dies(),
            Step::HelperDiesAfter(count) => self.helper_dies_after = Some(count),
        }
        if self.helper_dies_after == Some(0) {
            self.helper_dies();
        }
    }

    /// What core has said since is on its way.
    fn pass_on(&mut self) {
        let mut lines = self.rig.sent();
        let mut messages = std::mem::take(&mut self.rig.to_scripts);
        let can_die = !messages.is_empty() && self.state_left().is_some();
        let dies = self.dies_after.take_if(|_| can_die);
        if let Some((some_lines, some_messages)) = dies {
            lines.truncate(some_lines);
            messages.truncate(some_messages);
        }
        if self.server.is_connected {
            self.server.from_core.extend(lines);
        }
        if self.link.is_up {
            self.link.to_helper.extend(messages);
        }
        if dies.is_some() {
            // What it has sent arrives.
            while !self.server.from_core.is_empty() {
                self.server.read();
            }
            while !self.link.to_helper.is_empty() {
                self.helper_reads();
            }
            self.core_dies();
        }
    }

    fn connect(&mut self) {
        if !self.server.is_connected {
            self.server.connect(true);
            self.rig.connect_server();
        }
        self.join_helper();
        self.pass_on();
    }

    fn lose_server(&mut self) {
        if self.server.is_connected {
            self.server.connect(false);
            self.rig.lose_server();
            self.pass_on();
        }
    }

    fn core_hears(&mut self) {
        if let Some(line) = self.server.to_core.pop_front() {
            self.rig.hear(&line);
            self.pass_on();
        }
    }

    fn restore_database(&mut self) {
        self.is_database_broken = false;
        self.rig.database(&self.records);
        self.pass_on();
    }

    /// A core that dies before the helper knows of it has the next one take the peer for another.
    fn rename(&mut self) {
        let is_heard = self.server.watches && self.server.to_core.is_empty();
        if self.server.is_connected && self.server.has_peer && is_heard {
            self.causes += 1;
            let old = self.server.interface;
            self.server.interface += 2;
            let new = self.server.interface;
            self.server
                .tell(&format!("NOTE NEWIFNAME p tun{old} tun{new}"));
            self.core_hears();
        }
    }

    fn wait(&mut self) {
        self.rig.wait(Duration::from_secs(1));
        self.pass_on();
        self.give(HelperInput::Time {}, true);
    }

    fn save(&mut self) {
        if let Some((_, state)) = self.rig.machine.state() {
            let text = serde_json::to_string(&state).unwrap();
            self.saved = Some((self.rig.run, serde_json::from_str(&text).unwrap()));
        }
    }

    /// What the next core reads. Where it is of another run of the server nothing follows from it,
    /// which is not what this world is about: then core does not die.
    fn state_left(&self) -> Option<State> {
        let (run, state) = self.saved.as_ref()?;
        (*run == self.rig.run).then(|| state.clone())
    }

    /// Core dies, and the next one reads the state file.
    fn core_dies(&mut self) {
        let Some(state) = self.state_left() else {
            return;
        };
        let run = self.rig.run;
        self.server.connect(false);
        self.link.set(false);
        let mut rig = started_at(self.rig.now + Duration::from_secs(1));
        rig.has_script_helper = true;
        rig.run = run;
        if self.is_database_broken {
            let fault = "it is damaged".to_owned();
            rig.feed(Input::Database(Loaded::Faulty { fault }));
        } else {
            rig.database(&self.records);
        }
        rig.inherit(state);
        self.rig = rig;
        self.pass_on();
    }

    fn join_helper(&mut self) {
        if !self.link.is_up {
            self.link.set(true);
            self.rig.scripts_connect();
            self.link.to_core.extend(self.scripts.outbox.resume());
        }
    }

    fn unlink(&mut self) {
        if self.link.is_up {
            self.link.set(false);
            self.rig.scripts_go();
            self.pass_on();
        }
    }

    /// The helper dies, and the next one recovers what its journal has.
    fn helper_dies(&mut self) {
        self.helper_dies_after = None;
        self.unlink();
        self.helpers += 1;
        self.scripts.outbox = Outbox::default();
        let mut ledger = Ledger::default();
        for entry in &self.scripts.journal {
            ledger.apply(entry);
        }
        let found = self.scripts.find(&ledger);
        let mut out = Vec::new();
        self.helper = Helper::recovered(PLACES, ledger, &found, &mut out);
        self.perform(out, true);
        self.join_helper();
        self.pass_on();
    }

    fn helper_reads(&mut self) {
        if let Some(message) = self.link.to_helper.pop_front() {
            self.give(HelperInput::Core(message), true);
        }
    }

    fn core_reads_helper(&mut self) {
        if !self.link.is_up {
            return;
        }
        while let Some(message) = self.scripts.outbox.front().cloned() {
            self.scripts.outbox.sent();
            self.link.to_core.push_back(message);
        }
        if let Some(message) = self.link.to_core.pop_front() {
            self.rig.scripts_say(message);
            self.pass_on();
        }
    }

    fn turn(&mut self, works: bool) {
        self.give(HelperInput::Turn(ORIGIN), works);
    }

    fn give(&mut self, input: HelperInput, works: bool) {
        if self.helper_dies_after == Some(0) {
            return;
        }
        let mut out = Vec::new();
        self.helper.handle(input, self.rig.now, &mut out);
        self.perform(out, works);
    }

    /// What the helper wants done, where a script that it starts can be started or cannot.
    fn perform(&mut self, outputs: Vec<HelperOutput>, works: bool) {
        for output in outputs {
            match &mut self.helper_dies_after {
                Some(0) => return,
                Some(count) => *count -= 1,
                None => {}
            }
            match output {
                HelperOutput::Journal(entry) => self.scripts.journal.push(entry),
                HelperOutput::Accepted(under_way) => self.scripts.outbox.accept(under_way),
                HelperOutput::Forget(runs) => self.scripts.outbox.forget(&runs),
                HelperOutput::ToCore(message) => self.scripts.outbox.push(message),
                HelperOutput::Start(run) => self.start(&run, works),
                HelperOutput::Adopt { run, .. } => {
                    let process = self.scripts.processes.get(&run);
                    let found = process.is_some_and(|process| process.alive);
                    let age = Duration::ZERO;
                    let input = match found {
                        true => HelperInput::Found { run, age },
                        false => HelperInput::Gone { run },
                    };
                    self.give(input, works);
                }
                HelperOutput::LookUp(_) | HelperOutput::Act(..) => {}
            }
        }
    }

    fn start(&mut self, run: &Run, works: bool) {
        let (kind, run) = (run.kind, run.run);
        self.scripts.starts.push(Start { run, kind, works });
        if !works {
            let why = "there is no such program".to_owned();
            return self.give(HelperInput::NotStarted { run, why }, works);
        }
        let mut processes = self.scripts.processes.values();
        let other = processes.find(|it| it.alive && it.kind.lane() == kind.lane());
        assert!(other.is_none(), "two scripts of the peer run at once");
        let process = Process {
            kind,
            alive: true,
            parent: self.helpers,
        };
        let earlier = self.scripts.processes.insert(run, process);
        assert!(earlier.is_none(), "{run:?} was started twice");
        self.give(HelperInput::Started { run, child: CHILD }, works);
    }

    fn exit(&mut self, which: usize) {
        let processes = self.scripts.processes.iter_mut();
        let mut alive: Vec<_> = processes.filter(|(_, process)| process.alive).collect();
        let count = alive.len().max(1);
        let Some((run, process)) = alive.get_mut(which % count) else {
            return;
        };
        process.alive = false;
        let (run, end) = (**run, Ended::Exited(0));
        let input = match process.parent == self.helpers {
            true => HelperInput::Reaped {
                run,
                end,
                open: false,
            },
            false => HelperInput::Gone { run },
        };
        self.give(input, true);
    }

    fn is_quiet(&self) -> bool {
        let server = self.server.to_core.is_empty() && self.server.from_core.is_empty();
        let link = self.link.to_core.is_empty() && self.link.to_helper.is_empty();
        server && link && (self.scripts.outbox.front().is_none() || !self.link.is_up)
    }

    fn flow(&mut self) {
        for _ in 0..300 {
            if self.is_quiet() {
                return;
            }
            self.server.read();
            self.core_hears();
            self.helper_reads();
            self.core_reads_helper();
        }
    }

    /// Nothing happens any more, and there is time for everything that is to follow.
    pub(super) fn come_to_rest(&mut self) {
        self.dies_after = None;
        self.helper_dies_after = None;
        self.restore_database();
        for _ in 0..60 {
            self.connect();
            self.flow();
            self.turn(true);
            self.flow();
            if !self.helper.has_turn() {
                self.exit(0);
            }
            self.flow();
            self.wait();
        }
        assert_eq!(self.rig.machine.link(), ServerLink::Up);
        assert!(self.is_quiet());
    }

    /// Every script, in the order in which they were to be started.
    pub(super) fn into_starts(self) -> Vec<Start> {
        self.scripts.starts
    }

    /// What was lost, doubled or out of order.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (make, undo) in self.hooks.pairs() {
            let of_pair = |start: &&Start| start.kind == make || start.kind == undo;
            let starts: Vec<&Start> = self.scripts.starts.iter().filter(of_pair).collect();
            self.check_end(&starts, make, undo, &mut faults);
            check_order(&starts, undo, &mut faults);
            let count = starts.iter().filter(|it| it.kind == make).count();
            let causes = self.server.adds + self.causes;
            if count > causes {
                faults.push(format!("{} {count} times for {causes} causes", make.name()));
            }
        }
        faults
    }

    /// What was made for a peer that is gone was undone, if that could be started; and everything
    /// was made for a peer that is there.
    fn check_end(
        &self,
        starts: &[&Start],
        make: ScriptKind,
        undo: ScriptKind,
        faults: &mut Vec<String>,
    ) {
        let last = starts.last();
        let is_made = starts
            .iter()
            .rev()
            .find(|start| start.works)
            .is_some_and(|start| start.kind == make);
        let undo_failed = starts
            .iter()
            .any(|start| start.kind == undo && !start.works);
        if !self.server.has_peer && is_made && !undo_failed {
            faults.push(format!("{} is lost", undo.name()));
        }
        if self.server.has_peer && !self.was_struck && last.is_none_or(|start| start.kind != make) {
            faults.push(format!("{} is lost", make.name()));
        }
    }
}

/// Nothing is undone that was never started.
fn check_order(starts: &[&Start], undo: ScriptKind, faults: &mut Vec<String>) {
    let mut is_made = false;
    for start in starts {
        if start.kind == undo && !is_made {
            faults.push(format!("{} undoes nothing", undo.name()));
        }
        is_made = start.kind != undo && (start.works || is_made);
    }
}
