// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays by hand what a rule sees, for the tests of the rules.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use connect_core::machine::{Config, ConnectionId, Input, Machine};
use connect_ifscripts::ledger::Ledger;
use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::pinger::FromPinger;
use connect_ipc::scripts::{Command, FromScripts, Run, ScriptKind};
use connect_ipc::setup::{SetupPage, SetupState};
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use peerdb::{Database, Record};
use tripe_lab::LabConfig;
use tripe_lab::server::{ClientId, Input as LabInput, Server, Watch};

use super::{Host, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{
    HostId, HostSite, Part, Partner, Plan, RecordSite, ScriptHabits, Site, Switching, Timed,
};
use crate::promise::Promise;
use crate::seen::{Seen, View, Who};
use crate::world::{Provider, Truth};

/// The connection of core.
pub(super) const CORE: ClientId = ClientId(1);

/// A plan with one host and these records, which happens to it.
pub(super) fn plan(records: &[(&str, &[(&str, &str)])], faults: Vec<Timed>) -> Plan {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let record = |(peer, pairs): &(&str, &[(&str, &str)])| RecordSite {
        peer: (*peer).to_owned(),
        pairs: pairs.iter().map(pair).collect(),
        partner: Partner::Reflected(1),
        scripts: ScriptHabits::default(),
    };
    let host = HostSite {
        records: records.iter().map(record).collect(),
        users: Vec::new(),
        auto: Vec::new(),
        startup: false,
        keeps_state: true,
        journal: true,
        switches: Switching::Default,
        nat: None,
    };
    Plan {
        seed: 0,
        site: Site { hosts: vec![host] },
        faults,
        quiet_from: Instant(0),
        until: Instant(0),
    }
}

/// A run of a script of `p` that changes its setup so, if it does.
pub(super) fn run(number: u64, kind: ScriptKind, setup: Option<SetupState>) -> Run {
    Run {
        run: RunId(number),
        peer: "p".to_owned(),
        kind,
        command: Command::Exec(vec!["script".to_owned()]),
        environment: Vec::new(),
        limit: None,
        setup,
        undoes: Vec::new(),
    }
}

/// One host, seen by one rule.
pub(super) struct Sight {
    host: Host,
    at: Instant,
}

impl Sight {
    /// A host with these records, whose core is connected.
    pub(super) fn new<R: Rule + Default + 'static>(records: &[(&str, &[(&str, &str)])]) -> Self {
        Sight::of::<R>(&plan(records, Vec::new()))
    }

    /// The first host of a plan, whose core is connected.
    pub(super) fn of<R: Rule + Default + 'static>(plan: &Plan) -> Self {
        let mut host = Host::new(plan, HostId(0), Provider::Product);
        host.rules = vec![Box::<R>::default()];
        let mut sight = Sight {
            host,
            at: Instant(1_000_000_000),
        };
        sight.see(Seen::Lives(Part::Core, 1)).unwrap();
        sight.see(Seen::Opened(CORE, Who::Core(1))).unwrap();
        sight.later(10);
        sight
    }

    /// So many seconds pass.
    pub(super) fn later(&mut self, seconds: u64) {
        self.at = self.at + Duration::from_secs(seconds);
    }

    /// Something is seen, a little after what was seen before.
    pub(super) fn see(&mut self, seen: Seen<'_>) -> Verdict {
        self.at = self.at + Duration::from_micros(10);
        self.host.see(self.at, &seen)
    }

    /// Something is seen at the same instant as what was seen before.
    pub(super) fn at_once(&mut self, seen: Seen<'_>) -> Verdict {
        self.host.see(self.at, &seen)
    }

    /// A full minute is seen, with this database in the file.
    pub(super) fn minute(&mut self, file: Database) -> Verdict {
        let truth = &Truth {
            file: Some(Arc::new(file)),
            ..Truth::default()
        };
        view(|view| self.see(Seen::Minute(View { truth, ..view })))
    }

    /// These lines go between core and the server: `> ` to the server, `< ` from it. Gives which
    /// promise the last of them breaks.
    pub(super) fn lines(&mut self, lines: &[&str]) -> Option<Promise> {
        let mut broken = None;
        for line in lines {
            assert_eq!(broken, None, "before {line}");
            let seen = match line.split_at(2) {
                ("> ", line) => Seen::Wrote(CORE, line),
                ("< ", line) => Seen::Heard(CORE, line),
                _ => panic!("{line}"),
            };
            broken = self.see(seen).err().map(|(promise, _)| promise);
        }
        broken
    }
}

/// A view of a host of which nothing lives.
pub(super) fn view<T>(look: impl FnOnce(View<'_>) -> T) -> T {
    let (ledger, truth) = (Ledger::default(), Truth::default());
    look(View {
        now: Monotonic(0),
        server: None,
        core: None,
        pinger: None,
        scripts: None,
        ledger: &ledger,
        truth: &truth,
    })
}

/// A server with these peers.
pub(super) fn server(peers: &[&str]) -> Server {
    let udp = vec![SocketAddr::from(([10, 0, 0, 1], 4070))];
    let config = LabConfig {
        udp: udp.clone(),
        allow_remote: true,
        ..LabConfig::new("sock")
    };
    let mut server = Server::new(config, udp, 1, UNIX_EPOCH);
    let client = ClientId(9);
    let mut out = Vec::new();
    let connect = LabInput::Connect(client, Watch::default());
    server.handle(connect, Duration::ZERO, &mut out);
    for (peer, last) in peers.iter().zip(1..) {
        let line = format!("ADD {peer} INET 198.18.0.{last} 4070").into_bytes();
        let add = LabInput::Line(client, Cow::Owned(line));
        server.handle(add, Duration::ZERO, &mut out);
    }
    assert_eq!(server.peers().len(), peers.len());
    server
}

/// That of a core that was started then.
pub(crate) fn config(started: Monotonic) -> Config {
    Config {
        version: "2".to_owned(),
        boot: None,
        pid: 1,
        socket: "tripesock".into(),
        database: "peers.cdb".into(),
        startup: false,
        ping: PingKind::Transport,
        script_limit: None,
        hooks: DefaultHooks::default(),
        exit_on_disconnect: false,
        server_wait: None,
        started,
    }
}

/// A core with these records that has joined a server with these peers, and its helpers.
pub(super) fn joined(records: &[(&str, &[(&str, &str)])], peers: &[&str]) -> Machine {
    let now = Monotonic(1_000_000_000_000);
    let mut machine = Machine::new(config(now));
    let (pinger, scripts) = (ConnectionId(1), ConnectionId(2));
    let status = || HelperStatus {
        connected: true,
        ..HelperStatus::default()
    };
    let line = |text: String| Input::ServerLine(text.into());
    let mut inputs = vec![
        Input::Database(Ok(database(records)).into()),
        Input::PingerConnected {
            connection: pinger,
            status: status(),
        },
        Input::Pinger(pinger, FromPinger::Resume(Vec::new())),
        Input::ScriptsConnected {
            connection: scripts,
            status: status(),
        },
        Input::Scripts(scripts, FromScripts::Resume(Vec::new())),
        Input::Scripts(scripts, FromScripts::Setups(SetupPage::default())),
        Input::EndOfTurn,
        Input::ServerConnected { run: None },
        line("OK".to_owned()),
        line("OK".to_owned()),
    ];
    inputs.extend(peers.iter().map(|peer| line(format!("INFO {peer}"))));
    inputs.extend([line("OK".to_owned()), Input::EndOfTurn]);
    let mut out = Vec::new();
    for input in inputs {
        machine.handle(input, now, &mut out);
    }
    machine
}

/// A database with these records.
pub(super) fn database(records: &[(&str, &[(&str, &str)])]) -> Database {
    let record = |(peer, pairs): &(&str, &[(&str, &str)])| Record::new(peer, pairs.iter().copied());
    Database::from_parts(records.iter().map(record), [], [])
}
