// SPDX-License-Identifier: GPL-3.0-or-later
//! Core: the product's machine, and what it has said and not written yet.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use connect_core::machine::{
    Config, ConnectionId, Inherited, Input, Loaded, Machine, Output, State,
};
use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::control::{Envelope, HelperStatus, Request};
use connect_ipc::pinger::{FromPinger, PingOrder, ToPinger};
use connect_ipc::scripts::{FromScripts, InterfaceScript, ToScripts};
use connect_ipc::setup::{Pair, ServerRun};
use connect_ipc::{PeerId, RunId};
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use peerdb::{Database, Record};

use crate::scope::Limits;
use crate::server::PEER;

/// Longer than core delays anything that matters here.
const INSTANT: Duration = Duration::from_millis(100);

/// The connection of the operator, other than those of all script helpers.
const OPERATOR: ConnectionId = ConnectionId(1_000_000);

/// The connection of the pinger.
const PINGER: ConnectionId = ConnectionId(1_000_001);

/// The keys by which the peer is pinged, and is reconnected when it does not answer one ping.
const WATCHED: [(&str, &str); 3] = [("watch", "t"), ("retries", "1"), ("knock", "k")];

/// What one core has written for the next.
pub(crate) type Saved = (Option<ServerRun>, State);

/// A process of core.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    machine: Machine,
    now: Monotonic,
    /// What it has decided in this turn.
    out: Vec<Output>,
    /// What it is about to do, in this order: lines for the server go first in each turn.
    pub(crate) pending: VecDeque<Output>,
    /// Whether it is connected to the server.
    pub(crate) is_connected: bool,
    /// Whether the next lines for the server ask what an operator's run needs to know.
    pub(crate) asks: bool,
    /// The peer as the pinger was told to watch it, and its last ping.
    watched: Option<(PeerId, u32)>,
}

impl Core {
    /// The process number `number`, just started.
    pub(crate) fn start(number: u64, limits: Limits, saved: Option<Saved>) -> Self {
        let now = Monotonic(1_000_000_000 * (number + 1));
        let config = Config {
            version: "1".to_owned(),
            boot: Some(BootId("1".to_owned())),
            pid: 1,
            socket: PathBuf::from("sock"),
            database: PathBuf::from("peers.cdb"),
            startup: limits.startup,
            ping: PingKind::Transport,
            script_limit: None,
            hooks: DefaultHooks::default(),
            exit_on_disconnect: false,
            server_wait: None,
            started: now,
        };
        let kinds = limits.scope.pairs().into_iter().flat_map(Pair::scripts);
        let scripts = kinds.map(|kind| (kind.name(), kind.name()));
        let watched = WATCHED.into_iter().filter(|_| limits.scope.pings());
        let pairs = [("peer", "INET 192.0.2.1 1")].into_iter();
        let pairs = pairs.chain(watched).chain(scripts);
        let records = [Record::new(PEER, pairs)];
        let database = Database::from_parts(records, [], []);
        let mut core = Core {
            machine: Machine::new(config),
            now,
            out: Vec::new(),
            pending: VecDeque::new(),
            is_connected: false,
            asks: false,
            watched: None,
        };
        if limits.scope.pings() {
            core.pinger(|connection| Input::PingerConnected {
                connection,
                status: HelperStatus::default(),
            });
            core.pinger(|connection| Input::Pinger(connection, FromPinger::Resume(Vec::new())));
        }
        if let Some((run, state)) = saved {
            core.feed(Input::Inherited(Box::new(Inherited {
                run,
                state,
                database: None,
            })));
        }
        core.feed(Input::Database(Loaded::from(Ok(database))));
        core
    }

    /// What it would write for the next core.
    pub(crate) fn state(&self) -> Option<Saved> {
        self.machine.state()
    }

    /// Hands in an input, and ends the turn.
    pub(crate) fn feed(&mut self, input: Input<'_>) {
        self.hear(input);
        self.end_turn();
    }

    /// Hands in an input.
    pub(crate) fn hear(&mut self, input: Input<'_>) {
        self.machine.handle(input, self.now, &mut self.out);
    }

    /// An operator runs a script of the peer.
    pub(crate) fn ask(&mut self, script: InterfaceScript) {
        let request = Request::RunScript {
            peer: PEER.to_owned(),
            script,
        };
        self.feed(Input::Request {
            connection: OPERATOR,
            by: "operator".into(),
            user: None,
            envelope: Envelope { id: 1, request },
        });
        let mut pending = self.pending.iter();
        self.asks = pending.any(|output| matches!(output, Output::ServerLines(_)));
    }

    /// Hands in the answer that an operator's run has waited for. Gives the run, if it is ordered.
    pub(crate) fn hear_requested(&mut self, line: String) -> Vec<RunId> {
        let before = self.out.len();
        self.hear(Input::ServerLine(line.into()));
        let ordered = self.out.iter().skip(before);
        let orders = ordered.filter_map(|output| match output {
            Output::ToScripts(_, ToScripts::Run(runs)) => Some(runs),
            _ => None,
        });
        orders.flatten().map(|run| run.run).collect()
    }

    /// Ends the turn.
    pub(crate) fn end_turn(&mut self) {
        self.hear(Input::EndOfTurn);
        self.let_time_pass();
        self.tell_pinger();
        let (lines, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.out)
            .into_iter()
            .partition(|output| matches!(output, Output::ServerLines(_)));
        let told = rest
            .into_iter()
            .filter(|output| matches!(output, Output::ToScripts(..) | Output::Refuse(_)));
        self.pending.extend(lines);
        self.pending.extend(told);
    }

    /// The pinger, which does nothing by itself, says this.
    fn pinger(&mut self, input: impl FnOnce(ConnectionId) -> Input<'static>) {
        self.feed(input(PINGER));
    }

    /// The pinger hears what core has told it.
    fn tell_pinger(&mut self) {
        for output in &self.out {
            match output {
                Output::ToPinger(_, ToPinger::Watch { peers, .. }) => {
                    for peer in peers {
                        let last = peer.phase.map_or(0, |phase| phase.last_seq);
                        self.watched = Some((peer.peer, last));
                    }
                }
                Output::ToPinger(_, ToPinger::Forget(_)) => self.watched = None,
                _ => {}
            }
        }
        let proceeds =
            |output: &Output| matches!(output, Output::ToPinger(_, ToPinger::Proceed { .. }));
        if self.out.iter().any(proceeds) {
            self.out.retain(|output| !proceeds(output));
            self.hear(Input::Pinger(PINGER, FromPinger::Proceeding {}));
            self.hear(Input::EndOfTurn);
            self.tell_pinger();
        }
    }

    /// Whether the peer can be pinged.
    pub(crate) const fn can_ping(&self) -> bool {
        self.watched.is_some()
    }

    /// The peer is pinged, and the server says at once what comes of it.
    pub(crate) fn ping(&mut self, answers: bool) {
        let Some((peer, seq)) = &mut self.watched else {
            return;
        };
        *seq += 1;
        let (peer, seq, due) = (*peer, *seq, self.now);
        let order = FromPinger::Ping(vec![PingOrder { peer, seq, due }]);
        self.hear(Input::Pinger(PINGER, order));
        self.hear(Input::EndOfTurn);
        let sent = self.out.iter().find_map(|output| match output {
            Output::ServerLines(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        self.out
            .retain(|output| !matches!(output, Output::ServerLines(_)));
        let sent = sent.unwrap_or_default();
        if let Some(tag) = sent.strip_prefix("PING -background ")
            && let Some((tag, _)) = tag.split_once(' ')
        {
            let result = if answers {
                "ping-ok 1.0"
            } else {
                "ping-timeout"
            };
            for line in [
                format!("BGDETACH {tag}"),
                format!("BGINFO {tag} {result}"),
                format!("BGOK {tag}"),
            ] {
                self.hear(Input::ServerLine(line.into()));
            }
        }
        self.end_turn();
    }

    /// Core does in the same turn what it would delay by less than [`INSTANT`]. The search still
    /// contains the histories in which that comes later, because others can read it later.
    fn let_time_pass(&mut self) {
        let next = self.machine.next_deadline();
        if let Some(at) = next.filter(|at| self.now < *at && *at <= self.now + INSTANT) {
            self.now = at;
            self.hear(Input::EndOfTurn);
        }
    }

    /// Whether it has something to do although no input has come.
    pub(crate) fn has_more(&self) -> bool {
        self.machine
            .next_deadline()
            .is_some_and(|at| at <= self.now)
    }

    /// A script helper has connected.
    pub(crate) fn meet_helper(&mut self, connection: u64) {
        self.feed(Input::ScriptsConnected {
            connection: ConnectionId(connection),
            status: HelperStatus::default(),
        });
    }

    /// The script helper has said this.
    pub(crate) fn hear_helper(&mut self, connection: u64, message: FromScripts) {
        self.feed(Input::Scripts(ConnectionId(connection), message));
    }

    /// The connection to the script helper is lost.
    pub(crate) fn lose_helper(&mut self, connection: u64) {
        self.feed(Input::Gone(ConnectionId(connection)));
    }
}
