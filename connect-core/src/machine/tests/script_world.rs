// SPDX-License-Identifier: GPL-3.0-or-later
//! A world of a few peers in which core's machine and the script helper's are real, and the server
//! is small. It notes what is lost, doubled, out of order, or undone without having been made.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use connect_ifscripts::ledger::{Entry, Ledger, Origin};
use connect_ifscripts::machine::{Input as HelperInput, Machine as Helper, Output as HelperOutput};
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::control::{HelperStatus, Request, ServerLink};
use connect_ipc::scripts::{
    Child, Ended, FromScripts, InterfaceScript, Run, ScriptKind, ToScripts,
};
use connect_ipc::setup::{ByLane, Pair, SetupPage};
use peerdb::Record;

use super::super::{ConnectionId, Inherited, Input, Loaded, State};
use super::rig::{Rig, record};
use super::undecided::started_with;

const CHILD: Child = Child {
    pid: 7,
    start_time: 0,
};
const ORIGIN: Origin = Origin { at: 7, session: 8 };
pub(super) const NAMES: [&str; 3] = ["p", "r", "s"];

/// The scripts in the peer's record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hooks {
    Interface,
    Connection,
    Both,
    /// Only those that undo.
    UndoOnly,
    /// Only those that make something.
    MakeOnly,
    /// Nothing undoes what `ifup` does.
    WithoutIfdown,
    /// Nothing undoes what `connect` does.
    WithoutDisconnect,
}

impl Hooks {
    fn kinds(self) -> &'static [ScriptKind] {
        use ScriptKind::{Connect, Disconnect, Ifdown, Ifup};
        match self {
            Hooks::Interface => &[Ifup, Ifdown],
            Hooks::Connection => &[Connect, Disconnect],
            Hooks::Both => &[Ifup, Ifdown, Connect, Disconnect],
            Hooks::UndoOnly => &[Ifdown, Disconnect],
            Hooks::MakeOnly => &[Ifup, Connect],
            Hooks::WithoutIfdown => &[Ifup, Connect, Disconnect],
            Hooks::WithoutDisconnect => &[Ifup, Ifdown, Connect],
        }
    }

    /// Each script that makes something, with the one that undoes it.
    fn pairs(self) -> impl Iterator<Item = (ScriptKind, ScriptKind)> {
        let pairs = Pair::OF_PRESENCE.into_iter().map(Pair::scripts);
        let named = pairs.filter(move |[make, _]| self.kinds().contains(make));
        named.map(|[make, undo]| (make, undo))
    }
}

/// What stays the same in a history.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The scripts of each peer.
    pub(super) hooks: Vec<Hooks>,
    /// Core has `--startup`, and all peers are to be added then.
    pub(super) startup: bool,
    /// The server has the peers before the service is there.
    pub(super) found: bool,
    /// How many scripts the helper runs at a time, of each lane.
    pub(super) places: usize,
    /// Whether the peers may have any address.
    pub(super) mobile: bool,
    /// Whether operators order scripts.
    pub(super) orders: bool,
    /// Core always has a state of the run of the server that it joins.
    pub(super) strict: bool,
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
    /// The peer of this number is added, with this one of its interfaces.
    Add(usize, u8),
    Kill(usize),
    Kick(usize),
    /// A client submits `active PEER`.
    Active(usize),
    /// An operator orders the peer's `ifup`, or its `ifdown`.
    OrderIfup(usize),
    OrderIfdown(usize),
    /// The server notes another address of the peer, which may have any.
    Move(usize),
    /// The server renames the peer's interface, and core hears of it at once, if it is connected.
    Rename(usize),
    /// All in one turn of core: renamed, another address, removed and added with that.
    Churn(usize),
    /// The peer's record is removed from the database.
    RemoveRecord(usize),
    LoseServer,
    /// The server and the helper are connected to if they are not.
    Connect,
    /// Core cannot tell which run of the server this is.
    ConnectUnknown,
    NewServer,
    /// The next core finds a damaged database.
    BreakDatabase,
    RestoreDatabase,
    /// Core writes its state file.
    Save,
    CoreDies,
    /// The same, and the state file is lost.
    CoreDiesWithoutState,
    /// Core dies in its next turn that sends something to the helper, after so many lines to the
    /// server and so many messages to the helper.
    CoreDiesAfter(usize, usize),
    /// Core ends and saves its state.
    CoreEnds,
    /// The connection of core and the helper breaks.
    Unlink,
    HelperDies,
    /// The helper dies, and its journal has lost all but so many entries.
    KeepsOnly(usize),
    /// Core has read everything, the helper dies, its journal has lost what came after the last
    /// order, and core tells the next helper what it knows.
    LosesEnd,
    /// The helper dies after so many further things that it does.
    HelperDiesAfter(usize),
    /// Another helper connects, and is refused.
    SecondHelper,
}

/// A script that was started.
struct Process {
    peer: String,
    kind: ScriptKind,
    alive: bool,
    /// Which helper started it: only that one learns how it ends.
    parent: usize,
}

/// A script that was to be started.
#[derive(Debug)]
pub(super) struct Start {
    run: RunId,
    peer: String,
    pub(super) kind: ScriptKind,
    /// Whether it could be started, as far as anybody can tell.
    works: bool,
    /// It changes no setup: an operator has asked for it.
    is_extra: bool,
}

pub(super) struct World {
    setting: Setting,
    records: Vec<Record>,
    /// Which peers the database lacks.
    removed_now: Vec<bool>,
    rig: Rig,
    /// The state file, and the run of the server that it was written about.
    saved: Option<(Option<u64>, State)>,
    is_database_broken: bool,
    dies_after: Option<(usize, usize)>,
    /// Whose record was ever removed: what was added meanwhile has no scripts.
    was_removed: Vec<bool>,
    /// Peers that a core without a state has met: they count as configured.
    met: Vec<bool>,
    /// How often something was to be made again although the peer stayed: its interface and its
    /// connection.
    causes: Vec<[usize; 2]>,
    helper: Helper,
    helpers: usize,
    helper_dies_after: Option<usize>,
    scripts: Scripts,
    link: HelperLink,
    server: Server,
    /// Whether the present connection to the server was of an unknown run.
    knows_run: bool,
    ever_unknown: bool,
    seconds: u64,
    no_state: bool,
    core_has_died: bool,
    /// The scripts that the helper refused.
    refused: Vec<(String, ScriptKind)>,
    /// Everything that is known is known to all, and nothing happens any more.
    is_settled: bool,
    pub(super) troubles: Vec<String>,
}

/// What outlives the helper, and what its process has done.
#[derive(Default)]
struct Scripts {
    outbox: Outbox,
    journal: Vec<Entry>,
    processes: BTreeMap<RunId, Process>,
    starts: Vec<Start>,
    /// Runs that change no setup.
    extra: HashSet<RunId>,
    /// Those that the present helper was told to end.
    ending: HashSet<RunId>,
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
                let peer = known.under_way.peer.clone();
                self.starts.push(Start {
                    run,
                    peer,
                    kind,
                    works: true,
                    is_extra: self.extra.contains(&run),
                });
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

#[derive(Clone, Default)]
struct ServerPeer {
    is_there: bool,
    interface: u8,
    port: u16,
    adds: usize,
    removals: usize,
}

/// The server, which may have the peer.
#[derive(Default)]
struct Server {
    is_connected: bool,
    watches: bool,
    has_claimed: bool,
    peers: Vec<ServerPeer>,
    jobs: usize,
    to_core: VecDeque<String>,
    from_core: VecDeque<String>,
}

/// The number of a peer's first interface; each peer has ten of them.
fn first_interface(at: usize) -> u8 {
    u8::try_from(at * 10).unwrap()
}

fn index(name: &str) -> Option<usize> {
    NAMES.iter().position(|it| *it == name)
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

    fn add(&mut self, at: usize, interface: u8) {
        let peer = &mut self.peers[at];
        if !std::mem::replace(&mut peer.is_there, true) {
            peer.adds += 1;
            peer.interface = interface;
            let line = format!("NOTE ADD {} tun{interface} {}", NAMES[at], self.address(at));
            self.tell(&line);
        }
    }

    fn address(&self, at: usize) -> String {
        format!("INET 192.0.2.{} {}", at + 1, self.peers[at].port)
    }

    fn move_peer(&mut self, at: usize) {
        self.peers[at].port += 1;
        if self.peers[at].is_there {
            let line = format!("NOTE NEWADDR {} {}", NAMES[at], self.address(at));
            self.tell(&line);
        }
    }

    fn kill(&mut self, at: usize) {
        if std::mem::take(&mut self.peers[at].is_there) {
            self.peers[at].removals += 1;
            self.tell(&format!("NOTE KILL {}", NAMES[at]));
        }
    }

    fn job(&mut self, words: &str) {
        if self.has_claimed {
            self.jobs += 1;
            let job = format!("SVCJOB J{} connect {words}", self.jobs);
            self.to_core.push_back(job);
        }
    }

    /// Takes one line of core's. There is a second peer, which is always there.
    fn read(&mut self) {
        let Some(line) = self.from_core.pop_front() else {
            return;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let first = words.first().copied().unwrap_or_default();
        if words.get(1) == Some(&"-background") {
            let tag = words[2].to_owned();
            self.to_core.push_back(format!("BGDETACH {tag}"));
            if first == "ADD" {
                let at = words.iter().find_map(|word| index(word));
                match at {
                    Some(at) if self.peers[at].is_there => {
                        self.to_core
                            .push_back(format!("BGFAIL {tag} peer-exists {}", NAMES[at]));
                    }
                    Some(at) => {
                        self.add(at, first_interface(at));
                        self.to_core.push_back(format!("BGOK {tag}"));
                    }
                    None => self.to_core.push_back(format!("BGOK {tag}")),
                }
            } else {
                self.to_core.push_back(format!("BGOK {tag}"));
            }
            return;
        }
        let at = words.last().and_then(|word| index(word));
        let is_missing = at.is_some_and(|at| !self.peers[at].is_there);
        let mut answers: Vec<String> = Vec::new();
        match first {
            "WATCH" => self.watches = true,
            "SVCCLAIM" => self.has_claimed = true,
            "SVCQUERY" => {
                return self
                    .to_core
                    .push_back("FAIL unknown-service connect".to_owned());
            }
            "LIST" => {
                answers.push("INFO q".to_owned());
                for (at, peer) in self.peers.iter().enumerate() {
                    if peer.is_there {
                        answers.push(format!("INFO {}", NAMES[at]));
                    }
                }
            }
            "IFNAME" | "ADDR" | "ALGS" | "KILL" | "FORCEKX" if is_missing => {
                let name = words.last().copied().unwrap_or_default();
                return self.to_core.push_back(format!("FAIL unknown-peer {name}"));
            }
            "IFNAME" => answers.push(match at {
                Some(at) => format!("INFO tun{}", self.peers[at].interface),
                None => "INFO tun99".to_owned(),
            }),
            "ADDR" => answers.push(match at {
                Some(at) => format!("INFO {}", self.address(at)),
                None => "INFO INET 192.0.2.9 1".to_owned(),
            }),
            "ALGS" => answers.push("INFO cipher=rijndael".to_owned()),
            "KILL" => {
                if let Some(at) = at {
                    self.kill(at);
                }
            }
            _ => {}
        }
        answers.push("OK".to_owned());
        self.to_core.extend(answers);
    }
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let mut records = Vec::new();
        for (at, hooks) in setting.hooks.iter().enumerate() {
            let address = format!("INET 192.0.2.{} 1", at + 1);
            let mut pairs = vec![("peer", address.as_str()), ("watch", "t"), ("every", "1h")];
            if setting.mobile {
                pairs.push(("mobile", "t"));
            }
            pairs.extend(hooks.kinds().iter().map(|kind| (kind.name(), "script")));
            records.push(record(NAMES[at], &pairs));
        }
        let n = records.len();
        let mut all = records.clone();
        all.push(record("q", &[("peer", "INET 192.0.2.9 1")]));
        let mut rig = Rig::without_database(setting.startup, None);
        rig.database_with_auto(&all, &NAMES[..if setting.startup { n } else { 0 }]);
        rig.has_script_helper = true;
        let bounds = ByLane {
            interface: setting.places,
            connection: setting.places,
        };
        let found = setting.found;
        let mut world = World {
            records: all,
            removed_now: vec![false; n],
            rig,
            saved: None,
            is_database_broken: false,
            dies_after: None,
            was_removed: vec![false; n],
            met: vec![found && !setting.startup; n],
            causes: vec![[0; 2]; n],
            helper: Helper::new(bounds),
            helpers: 1,
            helper_dies_after: None,
            scripts: Scripts::default(),
            link: HelperLink::default(),
            server: Server {
                peers: vec![ServerPeer::default(); n],
                ..Server::default()
            },
            knows_run: true,
            ever_unknown: false,
            seconds: 0,
            no_state: false,
            core_has_died: false,
            refused: Vec::new(),
            is_settled: false,
            troubles: Vec::new(),
            setting,
        };
        if found {
            for peer in &mut world.server.peers {
                peer.is_there = true;
                peer.adds = 1;
            }
        }
        world.connect(true);
        world.flow();
        world.save();
        world
    }

    fn bounds(&self) -> ByLane<usize> {
        ByLane {
            interface: self.setting.places,
            connection: self.setting.places,
        }
    }

    fn n(&self) -> usize {
        self.setting.hooks.len()
    }

    pub(super) fn step(&mut self, step: Step) {
        let n = self.n();
        match step {
            Step::ServerReads(count) => (0..count).for_each(|_| self.server.read()),
            Step::CoreHears(count) => (0..count).for_each(|_| self.core_hears()),
            Step::HelperReads(count) => (0..count).for_each(|_| self.helper_reads()),
            Step::CoreReadsHelper(count) => (0..count).for_each(|_| self.core_reads_helper()),
            Step::Turn(works) => self.turn(works),
            Step::Exit(which) => self.exit(which),
            Step::Flow => self.flow(),
            Step::Wait => self.wait(),
            Step::Add(at, interface) => {
                let at = at % n;
                self.server.add(at, first_interface(at) + interface);
            }
            Step::Kill(at) => self.server.kill(at % n),
            Step::Kick(at) => {
                if self.setting.orders && self.server.has_claimed {
                    self.causes[at % n][1] += 1;
                    self.server.job(&format!("kick {}", NAMES[at % n]));
                }
            }
            Step::Active(at) => self.server.job(&format!("active {}", NAMES[at % n])),
            Step::OrderIfup(at) => self.order(at % n, InterfaceScript::Ifup),
            Step::OrderIfdown(at) => self.order(at % n, InterfaceScript::Ifdown),
            Step::Move(at) => {
                if self.setting.mobile {
                    self.server.move_peer(at % n);
                }
            }
            Step::Rename(at) => self.rename(at % n),
            Step::Churn(at) => self.churn(at % n),
            Step::RemoveRecord(at) => {
                self.was_removed[at % n] = true;
                self.removed_now[at % n] = true;
                self.load_database();
            }
            Step::LoseServer => self.lose_server(),
            Step::Connect => self.connect(true),
            // Core would take it for a new server, and it is the old one.
            Step::NewServer | Step::ConnectUnknown
                if self.setting.strict && !self.rig.machine.server.joined_before() => {}
            Step::ConnectUnknown => {
                self.step(Step::NewServer);
                self.connect(false);
            }
            Step::NewServer => {
                for peer in &mut self.server.peers {
                    if std::mem::take(&mut peer.is_there) {
                        peer.removals += 1;
                    }
                }
                self.lose_server();
                self.rig.run += 1;
            }
            Step::BreakDatabase => self.is_database_broken = true,
            Step::RestoreDatabase => self.restore_database(),
            Step::Save => self.save(),
            Step::CoreDies => self.core_dies(),
            Step::CoreDiesWithoutState => {
                if !self.setting.strict {
                    self.saved = None;
                    self.core_dies();
                }
            }
            Step::CoreDiesAfter(lines, messages) => self.dies_after = Some((lines, messages)),
            Step::CoreEnds => {
                self.save();
                self.core_dies();
            }
            Step::Unlink => self.unlink(),
            Step::HelperDies => self.helper_dies(),
            Step::KeepsOnly(count) => {
                self.scripts.journal.truncate(count);
                self.helper_dies();
            }
            // If core dies as well, or has died, nobody knows what the journal has lost.
            Step::LosesEnd if self.dies_after.is_some() || self.core_has_died => {}
            Step::LosesEnd => {
                self.flow();
                self.journal_loses_end();
                self.helper_dies();
                self.flow();
            }
            Step::HelperDiesAfter(count) => self.helper_dies_after = Some(count),
            Step::SecondHelper => {
                if self.link.is_up {
                    let connection = ConnectionId(77);
                    let status = HelperStatus::default();
                    self.rig
                        .feed(Input::ScriptsConnected { connection, status });
                    self.rig
                        .feed(Input::Scripts(connection, FromScripts::Resume(Vec::new())));
                    let page = SetupPage::default();
                    self.rig
                        .feed(Input::Scripts(connection, FromScripts::Setups(page)));
                    self.rig.feed(Input::Gone(connection));
                    self.pass_on();
                }
            }
        }
        if self.helper_dies_after == Some(0) {
            self.helper_dies();
        }
    }

    fn order(&mut self, at: usize, script: InterfaceScript) {
        if self.setting.orders {
            self.causes[at][0] += usize::from(script == InterfaceScript::Ifup);
            let peer = NAMES[at].to_owned();
            self.rig.request(1, 1, Request::RunScript { peer, script });
            self.pass_on();
        }
    }

    /// What core has said since is on its way.
    fn pass_on(&mut self) {
        let mut lines = self.rig.sent();
        let mut messages = std::mem::take(&mut self.rig.to_scripts);
        for line in &lines {
            if line.contains("wait already for a script helper") {
                for (at, name) in NAMES.iter().enumerate() {
                    for kind in [
                        ScriptKind::Ifup,
                        ScriptKind::Ifdown,
                        ScriptKind::Connect,
                        ScriptKind::Disconnect,
                    ] {
                        if line.contains(&format!(" {} {name} ", kind.name())) {
                            self.refused.push((NAMES[at].to_owned(), kind));
                        }
                    }
                }
            }
        }
        let applies = self
            .saved
            .as_ref()
            .is_some_and(|(of, _)| *of == Some(self.rig.run));
        let can_die = !messages.is_empty() && (applies || !self.setting.strict);
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
            while !self.server.from_core.is_empty() {
                self.server.read();
            }
            while !self.link.to_helper.is_empty() {
                self.helper_reads();
            }
            self.core_dies();
        }
    }

    /// Whether the core that joins the server now has a state that is about it.
    fn note_meeting(&mut self) {
        if self.rig.machine.server.joined_before() {
            return;
        }
        let applies = self.knows_run
            && !self.no_state
            && self
                .saved
                .as_ref()
                .is_some_and(|(run, _)| *run == Some(self.rig.run));
        if !applies && self.helpers + self.scripts.starts.len() > 0 && self.seconds > 0 {
            // Peers that it finds and that the helper does not know count as configured.
            for met in &mut self.met {
                *met = true;
            }
        }
    }

    fn connect(&mut self, knows_run: bool) {
        if !self.server.is_connected {
            self.knows_run = knows_run;
            self.ever_unknown |= !knows_run;
            self.note_meeting();
            self.server.connect(true);
            if knows_run {
                self.rig.connect_server();
            } else {
                self.rig.feed(Input::ServerConnected { run: None });
            }
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

    fn load_database(&mut self) {
        let records: Vec<Record> = self
            .records
            .iter()
            .filter(|it| index(it.name()).is_none_or(|at| !self.removed_now[at]))
            .cloned()
            .collect();
        let auto: Vec<&str> = match self.setting.startup {
            true => (0..self.n())
                .filter(|at| !self.removed_now[*at])
                .map(|at| NAMES[at])
                .collect(),
            false => Vec::new(),
        };
        self.rig.database_with_auto(&records, &auto);
        self.pass_on();
    }

    fn restore_database(&mut self) {
        self.is_database_broken = false;
        self.removed_now.fill(false);
        self.load_database();
    }

    fn hears_at_once(&self, at: usize) -> bool {
        let is_heard = self.server.watches && self.server.to_core.is_empty();
        self.server.is_connected && self.server.peers[at].is_there && is_heard
    }

    /// A core that dies before the helper knows of it has the next one take the peer for another.
    fn rename(&mut self, at: usize) {
        if self.hears_at_once(at) {
            self.causes[at][0] += 1;
            self.causes[at][1] += 1;
            let old = self.server.peers[at].interface;
            let new = first_interface(at) + (old % 10 + 2) % 10;
            self.server.peers[at].interface = new;
            self.server
                .tell(&format!("NOTE NEWIFNAME {} tun{old} tun{new}", NAMES[at]));
            self.core_hears();
        }
    }

    fn churn(&mut self, at: usize) {
        if self.hears_at_once(at) {
            self.rename(at);
            if self.setting.mobile {
                self.server.move_peer(at);
            }
            let interface = self.server.peers[at].interface;
            self.server.kill(at);
            self.server.add(at, interface);
        }
    }

    fn wait(&mut self) {
        self.seconds += 1;
        self.rig.wait(Duration::from_secs(1));
        self.pass_on();
        self.give(HelperInput::Time {}, true);
    }

    fn save(&mut self) {
        if let Some((run, state)) = self.rig.machine.state() {
            let text = serde_json::to_string(&state).unwrap();
            let run = run.map(|run| run.inode);
            self.saved = Some((run, serde_json::from_str(&text).unwrap()));
        }
    }

    /// Core dies, and the next one reads the state file.
    fn core_dies(&mut self) {
        let run = self.rig.run;
        let applies = self.saved.as_ref().is_some_and(|(of, _)| *of == Some(run));
        if self.setting.strict && !applies {
            return;
        }
        self.dies_after = None;
        self.core_has_died = true;
        self.server.connect(false);
        self.link.set(false);
        self.seconds += 1;
        let mut rig = started_with(self.rig.now + Duration::from_secs(1), self.setting.startup);
        rig.has_script_helper = true;
        rig.run = run;
        std::mem::swap(&mut self.rig, &mut rig);
        if self.is_database_broken {
            let fault = "it is damaged".to_owned();
            self.rig.feed(Input::Database(Loaded::Faulty { fault }));
        } else {
            self.load_database();
        }
        if let Some((of, state)) = &self.saved {
            let run = of.map(|inode| {
                let text = format!(r#"{{"device":1,"inode":{inode},"made":[3,4]}}"#);
                serde_json::from_str(&text).expect("a run")
            });
            let state = state.clone();
            self.rig.feed(Input::Inherited(Box::new(Inherited {
                run,
                state,
                database: None,
            })));
        }
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
        self.scripts.ending.clear();
        self.scripts.outbox = Outbox::default();
        let mut ledger = Ledger::default();
        for entry in &self.scripts.journal {
            ledger.apply(entry);
        }
        let found = self.scripts.find(&ledger);
        let mut out = Vec::new();
        self.helper = Helper::recovered(self.bounds(), ledger, &found, &mut out);
        self.perform(out, true);
        self.join_helper();
        self.pass_on();
    }

    /// What core knows and the helper does not must be what makes no difference: where the journal
    /// has kept that a script was being started and has lost that it could not be, nobody can tell
    /// the next core.
    fn journal_loses_end(&mut self) {
        let journal = &mut self.scripts.journal;
        let is_order = |it: &Entry| matches!(it, Entry::Ordered(_) | Entry::Setup(_));
        let end = journal.iter().rposition(is_order).map_or(0, |at| at + 1);
        let (kept, lost) = journal.split_at(end);
        let began = |run: &RunId| {
            let begins = |it: &Entry| matches!(it, Entry::Starting { run: it, .. } if it == run);
            kept.iter().any(begins)
        };
        let makes_a_difference = lost
            .iter()
            .any(|it| matches!(it, Entry::Ended { run, end: Ended::NotStarted(_) } if began(run)));
        if !makes_a_difference && self.link.is_up {
            journal.truncate(end);
        }
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
                HelperOutput::Journal(entry) => {
                    if let Entry::Ordered(run) = &entry
                        && run.setup.is_none()
                    {
                        self.scripts.extra.insert(run.run);
                    }
                    self.scripts.journal.push(entry);
                }
                HelperOutput::Accepted(under_way) => self.scripts.outbox.accept(under_way),
                HelperOutput::Forget(runs) => self.scripts.outbox.forget(&runs),
                HelperOutput::ToCore(message) => {
                    if let FromScripts::Ended {
                        run,
                        end: Ended::NotStarted(_),
                    } = &message
                        && self.scripts.starts.iter().all(|start| start.run != *run)
                        && let Some(known) = self.helper.ledger().run(*run)
                    {
                        self.refused
                            .push((known.under_way.peer.clone(), known.under_way.kind));
                    }
                    self.scripts.outbox.push(message);
                }
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
                HelperOutput::LookUp(_) => {}
                HelperOutput::Act(run, _) => {
                    self.scripts.ending.insert(run);
                }
            }
        }
    }

    fn start(&mut self, order: &Run, works: bool) {
        let (kind, run, peer) = (order.kind, order.run, order.peer.clone());
        let is_extra = order.setup.is_none();
        let at = index(&peer).unwrap();
        if self.is_settled && kind.undone_by().is_some() && !self.server.peers[at].is_there {
            self.troubles
                .push(format!("{peer}: {kind:?} begins, and the peer is gone"));
        }
        let mut of_lane = self.scripts.starts.iter();
        if let Some(later) =
            of_lane.find(|it| it.peer == peer && it.kind.lane() == kind.lane() && it.run >= run)
        {
            self.troubles.push(format!(
                "{peer}: {run:?} {kind:?} after {:?} {:?}",
                later.run, later.kind
            ));
        }
        if kind.pair() == Pair::Connection {
            for known in self.helper.ledger().runs() {
                let it = &known.under_way;
                if it.peer == peer
                    && it.kind.pair() == Pair::Interface
                    && it.run < run
                    && known.end().is_none()
                {
                    self.troubles
                        .push(format!("{peer}: {kind:?} did not wait for {:?}", it.kind));
                }
            }
        }
        self.scripts.starts.push(Start {
            run,
            peer: peer.clone(),
            kind,
            works,
            is_extra,
        });
        if !works {
            let why = "there is no such program".to_owned();
            return self.give(HelperInput::NotStarted { run, why }, works);
        }
        let mut processes = self.scripts.processes.values();
        let other =
            processes.find(|it| it.alive && it.peer == peer && it.kind.lane() == kind.lane());
        if other.is_some() {
            self.troubles
                .push(format!("{peer}: two scripts at once: {kind:?}"));
        }
        let busy = self.scripts.processes.values();
        let busy = busy
            .filter(|it| it.alive && it.kind.lane() == kind.lane())
            .count();
        if busy >= self.setting.places {
            self.troubles
                .push(format!("more than {} places", self.setting.places));
        }
        let process = Process {
            peer,
            kind,
            alive: true,
            parent: self.helpers,
        };
        let earlier = self.scripts.processes.insert(run, process);
        if earlier.is_some() {
            self.troubles.push(format!("{run:?} was started twice"));
        }
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
        for _ in 0..600 {
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
        for _ in 0..5 {
            self.connect(true);
            self.flow();
            self.wait();
        }
        self.is_settled = true;
        for (run, process) in &self.scripts.processes {
            let at = index(&process.peer).unwrap();
            let is_wanted = self.server.peers[at].is_there || process.kind != ScriptKind::Connect;
            if process.alive && !is_wanted && !self.scripts.ending.contains(run) {
                self.troubles.push(format!(
                    "{}: {run:?} connects a peer that is gone",
                    process.peer
                ));
            }
        }
        for _ in 0..30 + 30 * self.n() {
            self.connect(true);
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
        if self.helper.waiting() + self.helper.under_way() > 0 {
            self.troubles.push("something waits at the end".to_owned());
        }
    }

    /// Every script, in the order in which they were to be started.
    pub(super) fn into_starts(self) -> Vec<Start> {
        self.scripts.starts
    }

    /// What was lost, doubled or out of order.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.troubles.clone();
        for (at, hooks) in self.setting.hooks.iter().enumerate() {
            for (make, undo) in hooks.pairs() {
                self.check(at, make, undo, &mut faults);
            }
            if *hooks == Hooks::UndoOnly {
                for undo in [ScriptKind::Ifdown, ScriptKind::Disconnect] {
                    let of = |it: &&Start| it.peer == NAMES[at] && it.kind == undo && !it.is_extra;
                    let count = self.scripts.starts.iter().filter(of).count();
                    let removals = self.server.peers[at].removals;
                    if count > removals + self.causes[at][0] {
                        faults.push(format!(
                            "{}: {undo:?} {count} times for {removals}",
                            NAMES[at]
                        ));
                    }
                }
            }
        }
        faults
    }

    fn check(&self, at: usize, make: ScriptKind, undo: ScriptKind, faults: &mut Vec<String>) {
        let name = NAMES[at];
        let of_pair = |start: &&Start| {
            start.peer == name && start.kind.pair() == make.pair() && !start.is_extra
        };
        let starts: Vec<&Start> = self.scripts.starts.iter().filter(of_pair).collect();
        let peer = &self.server.peers[at];
        let has_undo = self.setting.hooks[at].kinds().contains(&undo);
        let was_refused = |kind| self.refused.iter().any(|it| it.0 == name && it.1 == kind);
        let is_made = starts
            .iter()
            .rev()
            .find(|start| start.works)
            .is_some_and(|start| start.kind == make);
        let undo_failed = starts
            .iter()
            .any(|start| start.kind == undo && !start.works)
            || was_refused(undo);
        if !peer.is_there && is_made && has_undo && !undo_failed {
            faults.push(format!("{name}: {} is lost", undo.name()));
        }
        let excused =
            self.was_removed[at] || self.ever_unknown || self.met[at] || was_refused(make);
        if peer.is_there && !excused && starts.last().is_none_or(|start| start.kind != make) {
            faults.push(format!("{name}: {} is lost", make.name()));
        }
        let (mut made, mut again) = (false, 0);
        for start in &starts {
            if start.kind == undo && !made && !self.met[at] {
                faults.push(format!("{name}: {} undoes nothing", undo.name()));
            }
            if start.kind == make && made {
                again += 1;
            }
            made = start.kind != undo && (start.works || made);
        }
        let causes = self.causes[at][usize::from(make == ScriptKind::Connect)];
        if again > causes && has_undo && !was_refused(undo) {
            faults.push(format!(
                "{name}: {} again {again} times for {causes}",
                make.name()
            ));
        }
        let count = starts.iter().filter(|it| it.kind == make).count();
        let adds = peer.adds + causes;
        if count > adds {
            faults.push(format!("{name}: {} {count} times for {adds}", make.name()));
        }
        let undone = starts.iter().filter(|it| it.kind == undo).count();
        if undone > peer.removals + causes {
            let removals = peer.removals;
            faults.push(format!(
                "{name}: {} {undone} times for {removals}",
                undo.name()
            ));
        }
    }
}
