// SPDX-License-Identifier: GPL-3.0-or-later
//! The product in a twin: core, pinger and script helper, whose messages arrive at once. All three
//! end together. One that is started again has no state file and no journal of scripts
//! (`Tolerance::KeptState`).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use connect_core::machine as core;
use connect_core::machine::{Config, ConnectionId, Loaded};
use connect_ifscripts::ledger::Origin;
use connect_ifscripts::machine as scripts;
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::scripts::{Child, Command, FromScripts, Run, Stream};
use connect_ipc::setup::{ByLane, ServerRun};
use connect_pinger::machine as pinger;
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use peerdb::Database;

use super::provider::{Act, News, Provider, Start};

const PINGER: ConnectionId = ConnectionId(1);
const SCRIPTS: ConnectionId = ConnectionId(2);

/// How many rounds the three may need until none has anything to say: far more than they do.
const ROUNDS: usize = 10_000;

/// The default of the options of the script helper.
const BOUNDS: ByLane<usize> = ByLane {
    interface: 64,
    connection: 64,
};

/// The three machines, and what lies between them.
pub(crate) struct Product {
    core: core::Machine,
    pinger: pinger::Machine,
    scripts: scripts::Machine,
    outbox: Outbox,
    core_out: Vec<core::Output>,
    pinger_out: Vec<pinger::Output>,
    /// The runs whose end core wants to hear of from the system.
    watched: BTreeSet<RunId>,
    pids: i32,
    acts: Vec<Act>,
}

impl Product {
    pub(crate) fn new(startup: bool, now: u64) -> Self {
        let config = Config {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: None,
            pid: 1,
            socket: PathBuf::from("/run/tripesock"),
            database: PathBuf::from("/etc/tripe/peers.cdb"),
            startup,
            ping: PingKind::Transport,
            script_limit: None,
            hooks: DefaultHooks::default(),
            exit_on_disconnect: false,
            server_wait: None,
            started: Monotonic(now),
        };
        Product {
            core: core::Machine::new(config),
            pinger: pinger::Machine::default(),
            scripts: scripts::Machine::new(BOUNDS),
            outbox: Outbox::default(),
            core_out: Vec::new(),
            pinger_out: Vec::new(),
            watched: BTreeSet::new(),
            pids: 1_000,
            acts: Vec::new(),
        }
    }

    fn tell_core(&mut self, input: core::Input<'_>, now: u64) {
        self.core.handle(input, Monotonic(now), &mut self.core_out);
    }

    fn tell_pinger(&mut self, input: pinger::Input, now: u64) {
        self.pinger
            .handle(input, Monotonic(now), &mut self.pinger_out);
    }

    /// All three have turns until none has anything to say.
    fn turns(&mut self, now: u64) {
        for _ in 0..ROUNDS {
            self.tell_core(core::Input::EndOfTurn, now);
            self.core_acts(now);
            self.tell_pinger(pinger::Input::Time {}, now);
            let from_pinger = std::mem::take(&mut self.pinger_out);
            let mut is_quiet = from_pinger.is_empty();
            for pinger::Output::ToCore(message) in from_pinger {
                self.tell_core(core::Input::Pinger(PINGER, message), now);
            }
            while self.scripts.has_turn() {
                let (at, session) = (now / 10_000_000, 1);
                self.tell_scripts(scripts::Input::Turn(Origin { at, session }), now);
            }
            while let Some(message) = self.outbox.front().cloned() {
                self.outbox.sent();
                self.tell_core(core::Input::Scripts(SCRIPTS, message), now);
                is_quiet = false;
            }
            if is_quiet {
                return;
            }
        }
    }

    /// Core's outputs, lines for the server first.
    fn core_acts(&mut self, now: u64) {
        let (lines, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.core_out)
            .into_iter()
            .partition(|output| matches!(output, core::Output::ServerLines(_)));
        for output in lines.into_iter().chain(others) {
            match output {
                core::Output::ServerLines(lines) => {
                    let text = tripe_admin::bytes::decode(&lines);
                    let lines = text.lines().map(|line| Act::Line(line.to_owned()));
                    self.acts.extend(lines);
                }
                core::Output::ToPinger(_, message) => {
                    self.tell_pinger(pinger::Input::Core(message), now);
                }
                core::Output::ToScripts(_, message) => {
                    self.tell_scripts(scripts::Input::Core(message), now);
                }
                core::Output::WatchChild(run, _) => {
                    self.watched.insert(run);
                }
                // Nobody looks on here (`Tolerance::OtherListeners`), and no process can die.
                core::Output::Refuse(_)
                | core::Output::RestartHelper(_)
                | core::Output::Answer(..)
                | core::Output::Rows { .. }
                | core::Output::Subscribe { .. }
                | core::Output::Event(_)
                | core::Output::ReadDatabase
                | core::Output::ServiceManager(_)
                | core::Output::Secret(_)
                | core::Output::ForgetState
                | core::Output::End(_) => {}
            }
        }
    }

    fn tell_scripts(&mut self, input: scripts::Input, now: u64) {
        let mut out = Vec::new();
        self.scripts.handle(input, Monotonic(now), &mut out);
        for output in out {
            match output {
                // No helper dies, so nobody looks into the journal.
                scripts::Output::Journal(_)
                | scripts::Output::LookUp(_)
                | scripts::Output::Adopt { .. } => {}
                scripts::Output::Accepted(under_way) => self.outbox.accept(under_way),
                scripts::Output::Forget(runs) => self.outbox.forget(&runs),
                scripts::Output::ToCore(message) => self.outbox.push(message),
                scripts::Output::Start(run) => {
                    self.acts.push(Act::Start(start(&run)));
                    self.pids += 1;
                    let child = Child {
                        pid: self.pids,
                        start_time: now / 10_000_000,
                    };
                    let run = run.run;
                    self.tell_scripts(scripts::Input::Started { run, child }, now);
                }
                scripts::Output::Act(run, _) => self.acts.push(Act::Stop(run.0)),
            }
        }
    }
}

/// What the script helper would start.
fn start(run: &Run) -> Start {
    let argv = match &run.command {
        Command::Exec(argv) => argv.clone(),
        Command::Shell(line) => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
    };
    Start {
        id: run.run.0,
        kind: run.kind,
        peer: run.peer.clone(),
        argv,
        environment: run.environment.clone(),
    }
}

impl Provider for Product {
    fn start(&mut self, database: Arc<Database>, now: u64) {
        self.tell_core(core::Input::Database(usable(database)), now);
        let millis = 1_700_000_000_000;
        self.tell_core(core::Input::WallClock { millis }, now);
        let run = Some(ServerRun {
            device: 1,
            inode: 1,
            made: (0, 0),
        });
        self.tell_core(core::Input::ServerConnected { run }, now);
        let status = HelperStatus {
            connected: true,
            pid: Some(2),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..HelperStatus::default()
        };
        let (connection, helper) = (PINGER, status.clone());
        let connected = core::Input::PingerConnected {
            connection,
            status: helper,
        };
        self.tell_core(connected, now);
        self.tell_pinger(pinger::Input::CoreConnected {}, now);
        let connection = SCRIPTS;
        self.tell_core(core::Input::ScriptsConnected { connection, status }, now);
        for message in self.outbox.resume() {
            self.tell_core(core::Input::Scripts(SCRIPTS, message), now);
        }
        self.turns(now);
    }

    fn leave(&mut self, now: u64) {
        self.tell_core(core::Input::Leave, now);
        self.turns(now);
    }

    fn lost(&mut self, now: u64) {
        let reason = "it closed the connection".to_owned();
        self.tell_core(core::Input::ServerLost { reason }, now);
        self.turns(now);
    }

    /// What the server has said meanwhile comes in the same turn.
    fn slept(&mut self, seconds: u64, now: u64) {
        self.tell_core(core::Input::Slept { seconds }, now);
    }

    fn lines(&mut self, lines: &[String], now: u64) {
        for line in lines {
            self.tell_core(core::Input::ServerLine(Cow::Borrowed(line)), now);
        }
        self.turns(now);
    }

    fn database(&mut self, read: Result<Arc<Database>, String>, now: u64) {
        let loaded = match read {
            Ok(database) => usable(database),
            Err(fault) => Loaded::Faulty { fault },
        };
        self.tell_core(core::Input::Database(loaded), now);
        self.turns(now);
    }

    fn child(&mut self, id: u64, news: News, now: u64) {
        let run = RunId(id);
        match news {
            News::Wrote(stream, line) => {
                let said = vec![FromScripts::Output { run, stream, line }];
                self.tell_scripts(scripts::Input::Said(said), now);
            }
            News::Ended(end) => {
                let streams = [Stream::Stdout, Stream::Stderr];
                let closed = streams.map(|stream| FromScripts::Eof { run, stream });
                self.tell_scripts(scripts::Input::Said(closed.to_vec()), now);
                let open = false;
                self.tell_scripts(scripts::Input::Reaped { run, end, open }, now);
                if self.watched.remove(&run) {
                    self.tell_core(core::Input::ChildEnded(run), now);
                }
            }
        }
        self.turns(now);
    }

    fn time(&mut self, now: u64) {
        self.tell_scripts(scripts::Input::Time {}, now);
        self.turns(now);
    }

    fn next_deadline(&mut self) -> Option<u64> {
        let deadlines = [
            self.core.next_deadline(),
            self.pinger.next_deadline(),
            self.scripts.next_deadline(),
        ];
        deadlines.into_iter().flatten().min().map(|due| due.0)
    }

    fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }
}

fn usable(database: Arc<Database>) -> Loaded {
    Loaded::Usable {
        database,
        faults: Vec::new(),
        more_faults: 0,
        file: None,
    }
}
