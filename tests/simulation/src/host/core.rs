// SPDX-License-Identifier: GPL-3.0-or-later
//! Core on a host: the product's machine, and its turns as connect-core/src/event_loop.rs has them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use connect_core::machine::{Config, ConnectionId, Ending, Input, Loaded, Machine, Output};
use connect_core::retry::Retry;
use connect_core::save_times::SaveTimes;
use connect_ipc::RunId;
use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::control::{Envelope, HelperStatus};
use connect_ipc::hello::Role;
use connect_ipc::observers::ObserverCounts;
use connect_ipc::pinger::FromPinger;
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_ipc::setup::ServerRun;
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use tripe_admin::Interval;
use tripe_admin::line::Line;
use tripe_lab::server::ClientId;

use super::Host;
use super::additions::Additions;
use super::links::Message;
use super::process::Process;
use crate::chance::What;
use crate::plan::{Part, When, named_peer};
use crate::promise::Promise;
use crate::queue::Step;
use crate::recording::Recording;
use crate::seen::{Seen, Watcher, Who};
use crate::world::shared::Shared;

/// How many arrivals of helpers, operators and observers core takes in one turn
/// (connect-core/src/endpoints/mod.rs).
const ARRIVALS: usize = 273;

/// How many turns core may have at one instant before that counts as spinning.
const TURNS: u32 = 10_000;

/// How long an operator waits who starts a core again that another provider has displaced.
const AFTER_DISPLACED: Duration = Duration::from_secs(60);

/// The wait of the unit for a server that was never joined (packaging/systemd).
const SERVER_WAIT: Interval = Interval::from_secs(60);

/// Of how many lookups it is remembered whose name was looked up: more than core has under way.
const LOOKUPS_REMEMBERED: usize = 16;

/// Core.
#[derive(Debug)]
pub(crate) struct CoreSide {
    pub(crate) process: Process,
    pub(crate) machine: Option<Box<Machine>>,
    inbox: VecDeque<Arrival>,
    /// The connection to the server.
    pub(crate) client: Option<ClientId>,
    retry: Retry,
    times: SaveTimes,
    /// Whether the state is being written.
    pub(crate) writing: bool,
    /// How core is started again after an end that it was asked for.
    pub(crate) again: Option<Duration>,
    /// The peers whose names were looked up last, by the number of the lookup.
    lookups: BTreeMap<u64, String>,
    pub(crate) additions: Additions,
    /// How far the wall clock was set.
    pub(crate) wall: u64,
    out: Vec<Output>,
    /// What this life of core is recorded with, if it is.
    recording: Option<Recording>,
}

impl Default for CoreSide {
    fn default() -> Self {
        CoreSide {
            process: Process::default(),
            machine: None,
            inbox: VecDeque::new(),
            client: None,
            retry: Retry::new(),
            times: SaveTimes::new(Monotonic(0)),
            writing: false,
            again: None,
            lookups: BTreeMap::new(),
            additions: Additions::default(),
            wall: 1_700_000_000_000,
            out: Vec::new(),
            recording: None,
        }
    }
}

/// Something that has arrived and is handed in with the next turn.
#[derive(Debug)]
pub(crate) enum Arrival {
    Helper(ConnectionId, Part, i32),
    Pinger(ConnectionId, FromPinger),
    Scripts(ConnectionId, FromScripts),
    Request(ConnectionId, Box<Envelope>),
    Observers(ObserverCounts),
    EventsDropped(u64),
    Drained(ConnectionId),
    Gone(ConnectionId),
    ChildEnded(RunId),
    Database(Loaded),
    ServerConnected,
    ServerLost(&'static str),
    Slept(u64),
    WallClock,
    Leave,
}

impl CoreSide {
    /// The machine takes an input.
    fn handle(&mut self, input: Input<'_>, now: Monotonic) {
        match (&mut self.machine, &mut self.recording) {
            (Some(machine), None) => machine.handle(input, now, &mut self.out),
            (Some(machine), Some(recording)) => {
                recording.handle(machine, input, now, &mut self.out);
            }
            (None, _) => {}
        }
    }

    /// So many events were not sent to observers.
    pub(crate) fn note_dropped(&mut self, events: u64) {
        self.inbox.push_back(Arrival::EventsDropped(events));
    }
}

impl Host {
    /// Starts core.
    pub(crate) fn start_core<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if self.core.process.lives {
            return;
        }
        let now = self.clock(shared);
        let core = &mut self.core;
        core.process.start(shared.now);
        let life = core.process.life;
        core.inbox.clear();
        core.lookups.clear();
        (core.retry, core.times) = (Retry::new(), SaveTimes::new(now));
        (core.writing, core.again) = (false, None);
        let config = Config {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: Some(BootId(self.truth.boots.to_string())),
            pid: life,
            socket: PathBuf::from("/run/tripesock"),
            database: PathBuf::from("/etc/tripe/peers.cdb"),
            startup: self.site.startup,
            ping: PingKind::Transport,
            script_limit: None,
            hooks: DefaultHooks::default(),
            exit_on_disconnect: false,
            server_wait: Some(SERVER_WAIT),
            started: now,
        };
        let directory = shared.how.recording.as_ref();
        core.recording =
            directory.map(|directory| Recording::begin(directory, self.id, life, &config));
        core.machine = Some(Box::new(Machine::new(config)));
        shared.see(self.id, Seen::Lives(Part::Core, life));
        let loaded = self.disk.load();
        let is_usable = matches!(loaded, Loaded::Usable { .. });
        if self.site.keeps_state
            && let Some(left) = self.disk.inherited(is_usable)
        {
            self.feed_core(Input::Inherited(Box::new(left)), shared);
        }
        self.feed_core(Input::Database(loaded), shared);
        self.core.inbox.push_back(Arrival::WallClock);
        self.connect_core(life, shared);
        self.core_turns(shared);
    }

    /// Core tries to reach the server.
    pub(crate) fn connect_core<W: Watcher>(&mut self, life: u32, shared: &mut Shared<W>) {
        if !self.core.process.lives || self.core.process.life != life {
            return;
        }
        if self.core.client.is_some() {
            return;
        }
        if let Some(client) = self.open_wire(Who::Core(life), shared) {
            let now = self.clock(shared);
            self.core.client = Some(client);
            self.core.retry.connected(now);
            self.core.inbox.push_back(Arrival::ServerConnected);
            self.meet(When::Joining, None, shared);
        } else {
            self.retry_server("there is no such file", shared);
        }
    }

    /// The server is lost, or cannot be reached.
    fn retry_server<W: Watcher>(&mut self, why: &'static str, shared: &mut Shared<W>) {
        self.core.client = None;
        let now = self.clock(shared);
        let at = self.power.clock.when(self.core.retry.lost(now));
        let step = Step::Connect(self.id, self.core.process.life);
        shared.queue.push(at, step);
        self.core.inbox.push_back(Arrival::ServerLost(why));
    }

    /// Bytes may have arrived at core.
    pub(crate) fn core_reads<W: Watcher>(&mut self, client: ClientId, shared: &mut Shared<W>) {
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return;
        };
        if !self.core.process.is_able(shared.now) || self.core.client != Some(client) {
            return;
        }
        let arrived = wire.to_client.take(shared.now);
        let ends = arrived.cut || arrived.ended;
        if arrived.bytes.is_empty() && !ends {
            return;
        }
        wire.client_lines.push(&arrived.bytes);
        // What has arrived before the end is read first.
        self.core_turns(shared);
        if ends && self.core.client == Some(client) {
            if arrived.cut {
                self.cut_wire(client, shared);
            }
            self.hang_up(client, shared);
            self.retry_server("it closed the connection", shared);
            self.core_turns(shared);
        }
    }

    /// Something has arrived for core, which takes everything that arrives at one instant in one
    /// turn.
    pub(crate) fn tell_core<W: Watcher>(&mut self, arrival: Arrival, shared: &mut Shared<W>) {
        if self.core.process.lives {
            // A sleep is told before what has waited meanwhile.
            if matches!(arrival, Arrival::Slept(_)) {
                self.core.inbox.push_front(arrival);
            } else {
                self.core.inbox.push_back(arrival);
            }
            if self.core.process.is_able(shared.now) {
                self.set_wake(Part::Core, Some(shared.now), shared);
            }
        }
    }

    /// Core's deadline may have passed.
    pub(crate) fn core_wakes<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.core.process.wake = None;
        // After a standstill what has arrived is read first.
        if let Some(client) = self.core.client {
            self.core_reads(client, shared);
        }
        self.core_turns(shared);
    }

    fn feed_core<W: Watcher>(&mut self, input: Input<'_>, shared: &mut Shared<W>) {
        let now = self.clock(shared);
        let core = &mut self.core;
        if core.machine.is_some() {
            shared.sum_all(self.id, &input);
            core.handle(input, now);
        }
    }

    /// Core has turns until nothing is left to be done now.
    fn core_turns<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        for _ in 0..TURNS {
            if !self.core.process.is_able(shared.now) {
                return;
            }
            while let Some(Arrival::Slept(_) | Arrival::ServerConnected) = self.core.inbox.front()
                && let Some(arrival) = self.core.inbox.pop_front()
            {
                self.feed_arrival(arrival, shared);
            }
            self.feed_lines(shared);
            for _ in 0..ARRIVALS {
                let Some(arrival) = self.core.inbox.pop_front() else {
                    break;
                };
                self.feed_arrival(arrival, shared);
            }
            self.feed_core(Input::EndOfTurn, shared);
            if self.core.machine.as_ref().is_some_and(|it| it.is_leaving()) {
                self.write_state_now();
            }
            let mut outputs = std::mem::take(&mut self.core.out);
            in_order(&mut outputs);
            let part = Part::Core;
            let count = outputs.len();
            shared.see(
                self.id,
                Seen::Turn {
                    part,
                    outputs: count,
                },
            );
            self.core_acts(&mut outputs, shared);
            self.core.out = outputs;
            if !self.core.process.lives {
                return;
            }
            self.keep_state(shared);
            if self.core.inbox.is_empty() {
                let machine = self.core.machine.as_ref();
                let due = machine.and_then(|machine| machine.next_deadline());
                let saved = self.site.keeps_state.then(|| self.core.times.due());
                let due = self.when(due.into_iter().chain(saved).min());
                return self.set_wake(Part::Core, due, shared);
            }
        }
        let text = "core has turn after turn at one instant".to_owned();
        shared.fail(Promise::Turns, self.id, text);
    }

    /// The run of the server that core is connected to; sometimes that is not certain
    /// (connect-core/src/server_run.rs).
    fn server_run<W: Watcher>(&self, shared: &mut Shared<W>) -> Option<ServerRun> {
        let client = u64::from(self.core.client?.0);
        let mut draw = shared.chances.of(What::Run, self.id, client, 0);
        let run = ServerRun {
            device: 1,
            inode: self.server.runs_of_boot,
            made: (0, 0),
        };
        let is_certain = draw.below(20) > 0;
        if !is_certain {
            shared.see(self.id, Seen::Uncertain);
        }
        is_certain.then_some(run)
    }

    /// Core reads the database's file.
    pub(crate) fn look_at_database<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let step = Step::Look(self.id, self.core.process.life);
        shared.after(Duration::from_millis(1), step);
    }

    /// The database's file was read.
    pub(crate) fn database_read<W: Watcher>(&mut self, life: u32, shared: &mut Shared<W>) {
        if self.core.process.life == life {
            let loaded = self.disk.load();
            self.tell_core(Arrival::Database(loaded), shared);
        }
    }

    /// Hands in the lines of the server that have arrived.
    fn feed_lines<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let now = self.clock(shared);
        let (id, core) = (self.id, &mut self.core);
        let Some(client) = core.client.filter(|_| core.machine.is_some()) else {
            return;
        };
        let Some(wire) = self.wires.open.get_mut(&client) else {
            return;
        };
        while let Some(line) = wire.client_lines.next_line() {
            let Line::Text(line) = line else {
                continue;
            };
            shared.sum(id, u64::from(client.0) << 1 | 1, line.as_bytes());
            shared.see(id, Seen::Heard(client, &line));
            if line.starts_with("SVCJOB ") {
                shared.summary.jobs += 1;
                if let Some(fault) = shared.aims.meet(id, When::JobOpen, None) {
                    shared.queue.push(shared.now, Step::Fault(fault));
                }
            }
            let input = Input::ServerLine(line);
            shared.sum_all(id, &input);
            core.handle(input, now);
        }
    }

    fn feed_arrival<W: Watcher>(&mut self, arrival: Arrival, shared: &mut Shared<W>) {
        let input = match arrival {
            Arrival::Helper(connection, part, pid) => {
                let status = HelperStatus {
                    connected: true,
                    pid: Some(pid),
                    version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                    ..HelperStatus::default()
                };
                if part == Part::Pinger {
                    Input::PingerConnected { connection, status }
                } else {
                    Input::ScriptsConnected { connection, status }
                }
            }
            Arrival::Pinger(connection, message) => Input::Pinger(connection, message),
            Arrival::Scripts(connection, message) => {
                self.see_lookup(&message, shared);
                Input::Scripts(connection, message)
            }
            Arrival::Request(connection, envelope) => {
                shared.see(self.id, Seen::Asked(connection, &envelope));
                Input::Request {
                    connection,
                    by: "operator (uid 0)".into(),
                    user: Some(0),
                    envelope: *envelope,
                }
            }
            Arrival::Observers(counts) => Input::Observers(counts),
            Arrival::EventsDropped(events) => Input::EventsDropped(events),
            Arrival::Drained(connection) => Input::Drained(connection),
            Arrival::Gone(connection) => {
                // Again, since what was asked before may only have been read now.
                shared.see(self.id, Seen::Gone(connection));
                Input::Gone(connection)
            }
            Arrival::ChildEnded(run) => Input::ChildEnded(run),
            Arrival::Database(loaded) => Input::Database(loaded),
            Arrival::ServerConnected => Input::ServerConnected {
                run: self.server_run(shared),
            },
            Arrival::ServerLost(why) => Input::ServerLost {
                reason: why.to_owned(),
            },
            Arrival::Slept(seconds) => Input::Slept { seconds },
            Arrival::WallClock => Input::WallClock {
                millis: self.core.wall + shared.now.0 / 1_000_000,
            },
            Arrival::Leave => Input::Leave,
        };
        self.feed_core(input, shared);
    }

    fn core_acts<W: Watcher>(&mut self, outputs: &mut Vec<Output>, shared: &mut Shared<W>) {
        for output in outputs.drain(..) {
            shared.sum_all(self.id, &output);
            if let Output::ServerLines(lines) = output {
                self.write_lines(&lines, shared);
                if !self.core.process.lives {
                    return;
                }
                continue;
            }
            if self.core.process.dies_here() {
                return self.kill_core(shared);
            }
            match output {
                Output::ServerLines(_) | Output::ServiceManager(_) | Output::Secret(_) => {}
                Output::ToPinger(connection, message) => {
                    let message = Message::ToPinger(message);
                    self.links.send(self.id, connection, message, shared);
                }
                Output::ToScripts(connection, message) => {
                    self.note_orders(&message, shared);
                    let message = Message::ToScripts(message);
                    self.links.send(self.id, connection, message, shared);
                }
                Output::Refuse(connection) => {
                    self.links
                        .send(self.id, connection, Message::Refused, shared);
                }
                Output::RestartHelper(Role::Pinger) => self.restart_helper(Part::Pinger, shared),
                Output::RestartHelper(_) => self.restart_helper(Part::Scripts, shared),
                Output::Answer(connection, answer) => self.answer(connection, answer, shared),
                Output::Rows { to, rows, until } => self.rows(&to, &rows, &until, shared),
                Output::Subscribe {
                    connection,
                    request,
                    filter,
                    told,
                } => self.clients.subscribe(connection, request, filter, told),
                Output::Event(event) => self.event(&event, shared),
                Output::WatchChild(run, _) => self.watch_child(run, shared),
                Output::ReadDatabase => self.look_at_database(shared),
                Output::ForgetState => self.disk.forgotten = true,
                Output::End(ending) => return self.end_core(&ending, shared),
            }
        }
    }

    /// Writes lines to the server: core may be killed between any two.
    fn write_lines<W: Watcher>(&mut self, lines: &[u8], shared: &mut Shared<W>) {
        let Some(client) = self.core.client else {
            return;
        };
        let (mut written, mut dies) = (0, false);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.core.process.kill_after.is_some() && self.core.process.dies_here() {
                dies = true;
                break;
            }
            written += line.len();
            if self.clients.cancel_after.is_some() {
                self.count_lines(shared);
            }
            if line.starts_with(b"PING ") || line.starts_with(b"EPING ") {
                shared.summary.pings += 1;
                let peer = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next();
                let peer = peer.and_then(|peer| std::str::from_utf8(peer).ok());
                self.meet(When::PingInFlight, peer, shared);
            } else if line.starts_with(b"ADD ") {
                self.note_change(line, shared);
                self.meet(When::AdditionUnderWay, None, shared);
            } else if line.starts_with(b"KILL ") {
                self.note_change(line, shared);
            }
        }
        let lines = lines.get(..written).unwrap_or_default();
        self.core_writes(client, lines, shared);
        if dies {
            self.kill_core(shared);
        }
    }

    /// Core takes in what came of a lookup that it has ordered.
    fn see_lookup<W: Watcher>(&self, message: &FromScripts, shared: &mut Shared<W>) {
        if let FromScripts::LookedUp(answer) = message
            && let Some(peer) = self.core.lookups.get(&answer.number)
        {
            shared.see(self.id, Seen::LookedUp(peer, &answer.found));
        }
    }

    fn note_orders<W: Watcher>(&mut self, message: &ToScripts, shared: &mut Shared<W>) {
        if let ToScripts::LookUp(lookup) = message
            && let Some(peer) = named_peer(&lookup.host)
        {
            let lookups = &mut self.core.lookups;
            lookups.insert(lookup.number, peer.to_owned());
            while lookups.len() > LOOKUPS_REMEMBERED {
                lookups.pop_first();
            }
        }
        if let ToScripts::Run(runs) = message {
            for run in runs {
                shared.see(self.id, Seen::Ordered(run));
                self.meet(When::RunOrdered, Some(&run.peer), shared);
            }
        }
    }

    /// Core is killed, or ends by itself: its connections end.
    fn drop_core<W: Watcher>(&mut self, shared: &mut Shared<W>) -> Duration {
        let pause = self.core.process.end(shared.now);
        self.core.machine = None;
        self.core.inbox.clear();
        self.core.out.clear();
        shared.see(self.id, Seen::Died(Part::Core));
        if let Some(client) = self.core.client.take() {
            self.hang_up(client, shared);
        }
        let links = &self.links.open;
        let connections: Vec<ConnectionId> = links.keys().copied().collect();
        for connection in connections {
            self.links.close(self.id, connection, true, shared);
        }
        self.core_left_clients(shared);
        pause
    }

    /// Core is killed.
    pub(crate) fn kill_core<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if self.core.process.lives {
            let pause = self.drop_core(shared);
            let pause = pause.max(Duration::from_millis(100));
            shared.after(pause, Step::Start(self.id, Part::Core));
        }
    }

    fn end_core<W: Watcher>(&mut self, ending: &Ending, shared: &mut Shared<W>) {
        let again = self.core.again.take();
        self.write_state_now();
        self.drop_core(shared);
        let pause = match ending {
            Ending::Quit | Ending::QuitUnanswered => again.unwrap_or(Duration::from_secs(1)),
            Ending::Displaced { .. } | Ending::Refused { .. } => AFTER_DISPLACED,
            Ending::Disconnected { .. } | Ending::Unreachable { .. } | Ending::Silent { .. } => {
                Duration::from_secs(1)
            }
        };
        shared.after(pause, Step::Start(self.id, Part::Core));
    }

    /// Has the state written if that is due.
    fn keep_state<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if !self.site.keeps_state {
            return;
        }
        let now = self.clock(shared);
        let core = &mut self.core;
        let Some(machine) = &core.machine else {
            return;
        };
        core.times.note(machine, now);
        if !core.times.are_due(now) {
            return;
        }
        if core.writing {
            return core.times.put_off(now);
        }
        core.times.begin(now);
        let Some(state) = machine.state().filter(|_| core.times.is_joined()) else {
            return;
        };
        core.writing = true;
        self.disk.begin(state, core.times.take_database());
        let mut draw = shared.chances.of(What::Disk, self.id, 0, now.0);
        let time = Duration::from_micros(draw.below(50_000));
        let step = Step::Written(self.id, core.process.life);
        shared.after(time, step);
    }

    /// Writes the state, or deletes it, before core ends.
    fn write_state_now(&mut self) {
        let core = &mut self.core;
        core.writing = false;
        if !self.site.keeps_state || core.machine.is_none() {
            return;
        }
        if self.disk.forgotten {
            self.disk.forget();
        } else if let Some(machine) = &core.machine {
            core.times.note_database(machine);
            if let Some(state) = machine.state() {
                self.disk.begin(state, core.times.take_database());
                self.disk.written();
            }
        }
    }

    /// The state has been written, if core still lives.
    pub(crate) fn state_written(&mut self, life: u32) {
        if self.core.process.lives && self.core.process.life == life && self.core.writing {
            self.core.writing = false;
            self.disk.written();
        }
    }
}

/// Puts outputs into the order in which the event loop sends them.
fn in_order(outputs: &mut [Output]) {
    if outputs.len() > 1 {
        outputs.sort_by_key(|output| match output {
            Output::ServerLines(_) => 0,
            Output::ToPinger(..)
            | Output::ToScripts(..)
            | Output::Refuse(_)
            | Output::WatchChild(..) => 1,
            Output::Answer(..)
            | Output::Rows { .. }
            | Output::Subscribe { .. }
            | Output::Event(_) => 2,
            Output::RestartHelper(_)
            | Output::ReadDatabase
            | Output::ServiceManager(_)
            | Output::Secret(_)
            | Output::ForgetState
            | Output::End(_) => 3,
        });
    }
}
