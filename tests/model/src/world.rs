// SPDX-License-Identifier: GPL-3.0-or-later
//! The world: who is in it, which steps can come next, and what each does.

use std::collections::{BTreeSet, VecDeque};

use connect_core::machine::{Input as CoreInput, Output as CoreOutput};
use connect_ifscripts::ledger::{Entry, Origin};
use connect_ifscripts::machine::{Input as HelperInput, Output as HelperOutput};
use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, FromScripts, InterfaceScript, ToScripts};
use judge::starts::{Start, beside};

use crate::core::{Core, Saved};
use crate::helper::{Helper, child};
use crate::scope::Limits;
use crate::server::{Said, Server};
use crate::shared::{Shared, number};

/// The time of a start does not matter here, since the existing children are known.
const ORIGIN: Origin = Origin { at: 1, session: 1 };

/// One step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The peer is added to the server, or killed there.
    Toggle,
    /// The server is started again.
    ServerRestarts,
    /// The peer is pinged, and answers or does not.
    Ping {
        /// Whether it does.
        answers: bool,
    },
    /// An operator runs a script of the peer.
    OperatorAsks(InterfaceScript),
    /// Core is killed.
    CoreDies,
    /// The script helper is killed.
    HelperDies,
    /// Core is started.
    CoreStarts,
    /// The script helper is started.
    HelperStarts,
    /// Core connects to the server.
    CoreConnects,
    /// The script helper connects to core.
    HelperConnects,
    /// Core does the next of what it has decided.
    CoreActs,
    /// Core reads what the server has said next.
    CoreHearsServer,
    /// Core reads the next message of the script helper, or that its connection is closed.
    CoreHearsHelper,
    /// Core goes on.
    CoreGoesOn,
    /// Core writes its state for the next one.
    CoreSaves,
    /// The script helper does the next of what it has decided.
    HelperActs,
    /// The script helper reads the next message of core, or that its connection is closed.
    HelperHears,
    /// The script helper looks for a run to start.
    HelperTurns,
    /// The script of this run ends.
    ScriptEnds(RunId),
    /// The script helper hears that it has ended.
    HelperReaps(RunId),
}

/// The connection between core and script helper.
#[derive(Clone, Debug)]
struct Connection {
    number: u64,
    to_core: VecDeque<FromScripts>,
    to_helper: VecDeque<ToScripts>,
    core_lives: bool,
    helper_lives: bool,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) limits: Limits,
    cores: u64,
    connections: u64,
    pub(crate) server: Server,
    core: Option<Shared<Core>>,
    helper: Option<Shared<Helper>>,
    connection: Option<Connection>,
    pub(crate) journal: Shared<Vec<Entry>>,
    /// What core has written for the next one.
    saved: Option<Shared<Saved>>,
    living: BTreeSet<RunId>,
    ended: BTreeSet<RunId>,
    pub(crate) ran: Vec<Start>,
    /// The runs that an operator has asked for.
    pub(crate) requested: BTreeSet<RunId>,
    /// Whether the peer has answered its last ping.
    pub(crate) answers: bool,
}

impl World {
    /// A world in which nothing was started yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        World {
            limits,
            cores: 0,
            connections: 0,
            server: Server::default(),
            core: None,
            helper: None,
            connection: None,
            journal: Shared::default(),
            saved: None,
            living: BTreeSet::new(),
            ended: BTreeSet::new(),
            ran: Vec::new(),
            requested: BTreeSet::new(),
            answers: true,
        }
    }

    /// A number by which worlds are distinguished.
    #[must_use]
    pub fn key(&self) -> u64 {
        number(self)
    }

    /// The steps that must come some time: all except events, deaths, requests of operators and
    /// saved states of core.
    #[must_use]
    pub fn moves(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut can = |step, condition| {
            if condition {
                steps.push(step);
            }
        };
        can(Step::CoreStarts, self.core.is_none());
        can(Step::HelperStarts, self.helper.is_none());
        if let Some(core) = &self.core {
            let idle = core.pending.is_empty();
            can(Step::CoreActs, !idle);
            can(Step::CoreConnects, idle && !core.is_connected);
            let said = core.is_connected && !self.server.said.is_empty();
            can(Step::CoreHearsServer, idle && said);
            let heard = self.connection.as_ref().is_some_and(|connection| {
                connection.core_lives
                    && (!connection.to_core.is_empty() || !connection.helper_lives)
            });
            can(Step::CoreHearsHelper, idle && heard);
            can(Step::CoreGoesOn, idle && core.has_more());
        }
        if let Some(helper) = &self.helper {
            let idle = helper.pending.is_empty();
            can(Step::HelperActs, !idle);
            let free = self.connection.is_none() && self.core.is_some();
            can(Step::HelperConnects, idle && free && !helper.is_connected);
            let heard = self.connection.as_ref().is_some_and(|connection| {
                connection.helper_lives
                    && (!connection.to_helper.is_empty() || !connection.core_lives)
            });
            can(Step::HelperHears, idle && heard && helper.is_connected);
            can(Step::HelperTurns, idle && helper.has_waiting());
            for run in helper.watched.keys() {
                can(Step::HelperReaps(*run), idle && self.ended.contains(run));
            }
        }
        for run in &self.living {
            can(Step::ScriptEnds(*run), true);
        }
        steps
    }

    /// All steps that can come next. If a process has outputs that are not carried out yet, the
    /// next of them is the only step, because other processes see only what it writes, and read
    /// that later. There are two exceptions: the process can die between two outputs, and an event
    /// can come before core's lines reach the server.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let acting = |pending: bool, act, death| {
            let deaths = (self.limits.deaths > 0).then_some(death);
            pending.then(|| [act].into_iter().chain(deaths).collect::<Vec<Step>>())
        };
        let helper = self.helper.as_ref();
        let helper = helper.is_some_and(|helper| !helper.pending.is_empty());
        if let Some(steps) = acting(helper, Step::HelperActs, Step::HelperDies) {
            return steps;
        }
        let core = self.core.as_ref().and_then(|core| core.pending.front());
        if let Some(mut steps) = acting(core.is_some(), Step::CoreActs, Step::CoreDies) {
            if matches!(core, Some(CoreOutput::ServerLines(_))) {
                steps.extend(self.events());
            }
            return steps;
        }
        let mut steps = self.moves();
        steps.extend(self.events());
        steps.extend(self.requests());
        if self.limits.deaths > 0 {
            steps.extend(self.core.as_ref().map(|_| Step::CoreDies));
            steps.extend(self.helper.as_ref().map(|_| Step::HelperDies));
            // What no other core will read makes no difference.
            let state = self.core.as_ref().and_then(|core| core.state());
            let state = state.filter(|_| self.limits.saves > 0);
            steps.extend(state.map(|_| Step::CoreSaves));
        }
        steps
    }

    fn events(&self) -> Vec<Step> {
        let restarts = self.limits.restarts.then_some(Step::ServerRestarts);
        let pings = [true, false].map(|answers| Step::Ping { answers });
        let pings = pings.into_iter().filter(|_| self.can_ping());
        let events = [Step::Toggle].into_iter().chain(restarts).chain(pings);
        events.filter(|_| self.limits.events > 0).collect()
    }

    /// Whether core can ping the peer, and all else has been answered.
    fn can_ping(&self) -> bool {
        let core = self.core.as_ref();
        let is_free = core
            .is_some_and(|core| core.is_connected && core.pending.is_empty() && core.can_ping());
        is_free && self.server.is_present && self.server.said.is_empty()
    }

    /// The peer is added, and has been set up.
    #[must_use]
    pub fn begun(mut self) -> Self {
        self.limits.events += 1;
        self.take(Step::Toggle);
        self.come_to_rest();
        self
    }

    /// The peer is added, has been set up, and has answered.
    #[must_use]
    pub fn begun_up(self) -> Self {
        let mut world = self.begun();
        world.check_once_more();
        world
    }

    /// Takes what comes by itself, until nothing does.
    pub(crate) fn come_to_rest(&mut self) {
        while let Some(step) = self.moves().first() {
            self.take(*step);
        }
    }

    /// The peer is checked once more, and what follows from that comes.
    pub(crate) fn check_once_more(&mut self) {
        if self.can_ping() {
            self.limits.events += 1;
            self.take(Step::Ping {
                answers: self.answers,
            });
            self.come_to_rest();
        }
    }

    /// What an operator can ask for, if core can do it.
    fn requests(&self) -> Vec<Step> {
        let can = self.limits.requests > 0
            && self.connection.as_ref().is_some_and(|it| it.core_lives)
            && self.core.as_ref().is_some_and(|core| core.is_connected);
        let scripts = [InterfaceScript::Ifup, InterfaceScript::Ifdown];
        let steps = scripts.into_iter().map(Step::OperatorAsks);
        steps.filter(|_| can).collect()
    }

    /// Takes a step.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Toggle => {
                self.limits.events -= 1;
                self.server.toggle();
            }
            Step::ServerRestarts => {
                self.limits.events -= 1;
                self.server.restart();
            }
            Step::Ping { answers } => {
                self.limits.events -= 1;
                self.answers = answers;
                if let Some(core) = &mut self.core {
                    core.ping(answers);
                }
            }
            Step::OperatorAsks(script) => {
                self.limits.requests -= 1;
                if let Some(core) = &mut self.core {
                    core.ask(script);
                }
            }
            Step::CoreDies => self.core_dies(),
            Step::HelperDies => self.helper_dies(),
            Step::CoreStarts => {
                let saved = self.saved.as_deref().cloned();
                self.core = Some(Core::start(self.cores, self.limits, saved).into());
                self.cores += 1;
            }
            Step::CoreSaves => {
                self.limits.saves -= 1;
                let state = self.core.as_ref().and_then(|core| core.state());
                self.saved = state.map(Shared::from);
            }
            Step::HelperStarts => {
                self.helper = Some(Helper::start(&self.journal, &self.living).into());
            }
            Step::CoreConnects => {
                let run = Some(self.server.run());
                self.server.hang_up();
                if let Some(core) = &mut self.core {
                    core.is_connected = true;
                    core.feed(CoreInput::ServerConnected { run });
                }
            }
            Step::HelperConnects => self.helper_connects(),
            Step::CoreActs => self.core_acts(),
            Step::CoreHearsServer => self.core_hears_server(),
            Step::CoreHearsHelper => self.core_hears_helper(),
            Step::CoreGoesOn => {
                if let Some(core) = &mut self.core {
                    core.feed(CoreInput::EndOfTurn);
                }
            }
            Step::HelperActs => self.helper_acts(),
            Step::HelperHears => self.helper_hears(),
            Step::HelperTurns => {
                if let Some(helper) = &mut self.helper {
                    helper.feed(HelperInput::Turn(ORIGIN));
                }
            }
            Step::ScriptEnds(run) => {
                self.living.remove(&run);
                self.ended.insert(run);
            }
            Step::HelperReaps(run) => self.helper_reaps(run),
        }
    }

    fn core_dies(&mut self) {
        self.limits.deaths -= 1;
        self.core = None;
        self.server.hang_up();
        if let Some(connection) = &mut self.connection {
            connection.core_lives = false;
            connection.to_core.clear();
        }
        self.drop_dead_connection();
    }

    fn helper_dies(&mut self) {
        self.limits.deaths -= 1;
        self.helper = None;
        if let Some(connection) = &mut self.connection {
            connection.helper_lives = false;
            connection.to_helper.clear();
        }
        self.drop_dead_connection();
    }

    /// Nobody is left to read it.
    fn drop_dead_connection(&mut self) {
        let dead = |connection: &mut Connection| !connection.core_lives && !connection.helper_lives;
        self.connection.take_if(dead);
    }

    fn helper_connects(&mut self) {
        self.connections += 1;
        let (Some(core), Some(helper)) = (&mut self.core, &mut self.helper) else {
            return;
        };
        core.meet_helper(self.connections);
        helper.is_connected = true;
        self.connection = Some(Connection {
            number: self.connections,
            to_core: helper.outbox.resume().into(),
            to_helper: VecDeque::new(),
            core_lives: true,
            helper_lives: true,
        });
        self.deliver();
    }

    /// The script helper sends what waits.
    fn deliver(&mut self) {
        let (Some(helper), Some(connection)) = (&mut self.helper, &mut self.connection) else {
            return;
        };
        if !helper.is_connected {
            return;
        }
        while let Some(message) = helper.outbox.front().cloned() {
            if connection.core_lives {
                connection.to_core.push_back(message);
            }
            helper.outbox.sent();
        }
    }

    fn core_acts(&mut self) {
        let Some(core) = &mut self.core else { return };
        match core.pending.pop_front() {
            Some(CoreOutput::ServerLines(bytes)) if core.is_connected => {
                let asks = std::mem::take(&mut core.asks);
                for line in String::from_utf8_lossy(&bytes).lines() {
                    self.server.hear(line, asks);
                }
            }
            Some(CoreOutput::ToScripts(to, message)) => {
                let there = |connection: &&mut Connection| {
                    connection.number == to.0 && connection.helper_lives
                };
                if let Some(connection) = self.connection.as_mut().filter(there) {
                    connection.to_helper.push_back(message);
                }
            }
            _ => {}
        }
    }

    /// Core reads everything that the server has said, as it does in one turn.
    fn core_hears_server(&mut self) {
        let Some(core) = &mut self.core else { return };
        while let Some(said) = self.server.said.pop_front() {
            match said {
                Said::Line(line) => core.hear(CoreInput::ServerLine(line.into())),
                Said::Requested(line) => {
                    let runs = core.hear_requested(line);
                    self.requested.extend(runs);
                }
                Said::Lost => {
                    core.is_connected = false;
                    let reason = "gone".to_owned();
                    core.hear(CoreInput::ServerLost { reason });
                }
            }
        }
        core.end_turn();
    }

    fn core_hears_helper(&mut self) {
        let (Some(core), Some(connection)) = (&mut self.core, &mut self.connection) else {
            return;
        };
        let number = connection.number;
        match connection.to_core.pop_front() {
            Some(message) => {
                core.hear_helper(number, message);
            }
            None => {
                core.lose_helper(number);
                self.connection = None;
            }
        }
    }

    fn helper_hears(&mut self) {
        let (Some(helper), Some(connection)) = (&mut self.helper, &mut self.connection) else {
            return;
        };
        match connection.to_helper.pop_front() {
            Some(message) => helper.feed(HelperInput::Core(message)),
            None => {
                helper.is_connected = false;
                self.connection = None;
            }
        }
    }

    fn helper_acts(&mut self) {
        let Some(helper) = &mut self.helper else {
            return;
        };
        match helper.pending.pop_front() {
            Some(HelperOutput::Journal(entry)) => self.journal.push(entry),
            Some(HelperOutput::Accepted(under_way)) => helper.outbox.accept(under_way),
            Some(HelperOutput::Forget(runs)) => helper.outbox.forget(&runs),
            Some(HelperOutput::ToCore(message)) => {
                helper.outbox.push(message);
                self.deliver();
            }
            Some(HelperOutput::Start(order)) => {
                let run = order.run;
                let started = self.ran.iter().map(|start| (start.run, start.kind));
                let living = started.filter(|(run, _)| self.living.contains(run));
                let beside = beside(living, run, order.kind);
                self.ran.push(Start {
                    run,
                    kind: order.kind,
                    beside,
                });
                self.living.insert(run);
                helper.watched.insert(run, false);
                let child = child(run);
                helper.feed(HelperInput::Started { run, child });
            }
            Some(HelperOutput::Adopt { run, .. }) => {
                if self.living.contains(&run) {
                    helper.watched.insert(run, true);
                    let age = std::time::Duration::ZERO;
                    helper.feed(HelperInput::Found { run, age });
                } else {
                    helper.feed(HelperInput::Gone { run });
                }
            }
            Some(HelperOutput::Act(..) | HelperOutput::LookUp(_)) | None => {}
        }
    }

    fn helper_reaps(&mut self, run: RunId) {
        let Some(helper) = &mut self.helper else {
            return;
        };
        match helper.watched.remove(&run) {
            Some(true) => helper.feed(HelperInput::Gone { run }),
            Some(false) => helper.feed(HelperInput::Reaped {
                run,
                end: Ended::Exited(0),
                open: false,
            }),
            None => {}
        }
    }
}
