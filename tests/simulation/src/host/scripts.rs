// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper on a host: the product's machine and outbox, in the loop of
//! connect-ifscripts/src/service.rs.

use std::collections::{BTreeMap, VecDeque};

use connect_ifscripts::ledger::{Entry, Origin};
use connect_ifscripts::machine::{Input, Machine, Output};
use connect_ifscripts::outbox::Outbox;
use connect_ipc::RunId;
use connect_ipc::scripts::{Child, FromScripts};
use connect_ipc::setup::{ByLane, Lane};

use super::Host;
use super::links::{Message, Reach};
use super::process::Process;
use crate::plan::{JournalLoss, Part, When};
use crate::promise::Promise;
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

/// How many scripts of a lane run at once: few, so that some have to wait.
pub(crate) const BOUNDS: ByLane<usize> = ByLane {
    interface: 4,
    connection: 16,
};

/// How many starts in a row are told together.
const TOLD_TOGETHER: usize = 4;

/// How many runs the helper may start at one instant before that counts as spinning.
const STARTS: usize = 10_000;

/// The script helper.
#[derive(Debug, Default)]
pub(crate) struct ScriptsSide {
    pub(crate) process: Process,
    machine: Option<Machine>,
    outbox: Outbox,
    pub(crate) reach: Reach,
    inbox: VecDeque<Input>,
    /// What is to be written to the journal.
    unwritten: Vec<Entry>,
    /// Of which lanes core was told that they are full.
    told_full: ByLane<bool>,
    told_fault: Option<String>,
}

impl ScriptsSide {
    /// The machine and its outbox, if the process lives.
    pub(crate) fn parts(&self) -> Option<(&Machine, &Outbox)> {
        self.machine.as_ref().map(|machine| (machine, &self.outbox))
    }
}

impl Host {
    /// Starts the script helper, which goes on where the journal says.
    pub(crate) fn start_scripts<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if self.helpers.scripts.process.lives {
            return;
        }
        if !self.site.journal {
            self.disk.lose_journal(JournalLoss::Removed);
        }
        let scripts = &mut self.helpers.scripts;
        scripts.process.start(shared.now);
        let life = scripts.process.life;
        scripts.outbox = Outbox::default();
        scripts.reach = Reach::default();
        scripts.inbox.clear();
        scripts.unwritten.clear();
        self.forget_lookups();
        let journal = self.disk.journal.clone();
        let being_started = journal.being_started();
        let children = &self.helpers.children;
        let found: BTreeMap<RunId, Child> = being_started
            .filter_map(|(run, _)| Some((run, children.find(run)?)))
            .collect();
        let mut out = Vec::new();
        self.helpers.scripts.machine = Some(Machine::recovered(BOUNDS, journal, &found, &mut out));
        shared.see(self.id, Seen::Lives(Part::Scripts, life));
        self.scripts_act(out, shared);
        let step = Step::Reach(self.id, Part::Scripts, life);
        shared.queue.push(shared.now, step);
        self.meet(When::Recovering, None, shared);
        self.scripts_turns(shared);
    }

    /// Something has arrived for the script helper.
    pub(crate) fn tell_scripts<W: Watcher>(&mut self, input: Input, shared: &mut Shared<W>) {
        if self.helpers.scripts.process.lives {
            self.helpers.scripts.inbox.push_back(input);
            self.scripts_turns(shared);
        }
    }

    /// The script helper is connected to core: it says what it knows.
    pub(crate) fn scripts_connected<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let scripts = &mut self.helpers.scripts;
        scripts.told_full = ByLane::default();
        scripts.told_fault = None;
        for message in scripts.outbox.resume() {
            self.say_to_core(message, shared);
        }
        self.scripts_turns(shared);
    }

    /// The script helper's deadline may have passed.
    pub(crate) fn scripts_wake<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.helpers.scripts.process.wake = None;
        let now = self.clock(shared);
        let due = self.helpers.scripts.machine.as_ref();
        let due = due.and_then(Machine::next_deadline);
        if due.is_some_and(|due| due <= now) {
            self.helpers.scripts.inbox.push_back(Input::Time {});
        }
        self.scripts_turns(shared);
    }

    fn scripts_turns<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if !self.helpers.scripts.process.is_able(shared.now) {
            return;
        }
        while let Some(input) = self.helpers.scripts.inbox.pop_front() {
            self.decide(input, shared);
            if !self.helpers.scripts.process.lives {
                return;
            }
        }
        let mut untold = 0;
        for _ in 0..STARTS {
            let machine = self.helpers.scripts.machine.as_ref();
            let has_turn = machine.is_some_and(Machine::has_turn);
            untold = if has_turn { untold + 1 } else { 0 };
            if has_turn {
                let at = self.clock(shared).0 / 10_000_000;
                let session = i32::try_from(self.helpers.scripts.process.life);
                let session = session.unwrap_or(i32::MAX);
                self.decide(Input::Turn(Origin { at, session }), shared);
            }
            if untold == 0 || untold == TOLD_TOGETHER {
                untold = 0;
                self.deliver(shared);
            }
            if !self.helpers.scripts.process.lives {
                return;
            }
            if !has_turn {
                let machine = self.helpers.scripts.machine.as_ref();
                let due = self.when(machine.and_then(Machine::next_deadline));
                return self.set_wake(Part::Scripts, due, shared);
            }
        }
        let text = "the script helper starts run after run at one instant".to_owned();
        shared.fail(Promise::Turns, self.id, text);
    }

    /// Tells the machine, and does what it wants done.
    pub(crate) fn decide<W: Watcher>(&mut self, input: Input, shared: &mut Shared<W>) {
        let now = self.clock(shared);
        let mut out = Vec::new();
        if let Some(machine) = &mut self.helpers.scripts.machine {
            shared.sum_all(self.id, &input);
            machine.handle(input, now, &mut out);
            let part = Part::Scripts;
            let outputs = out.len();
            shared.see(self.id, Seen::Turn { part, outputs });
            self.scripts_act(out, shared);
        }
    }

    fn scripts_act<W: Watcher>(&mut self, out: Vec<Output>, shared: &mut Shared<W>) {
        for output in out {
            if !self.helpers.scripts.process.lives {
                return;
            }
            shared.sum_all(self.id, &output);
            if self.helpers.scripts.process.dies_here() {
                return self.kill_helper(Part::Scripts, shared);
            }
            let scripts = &mut self.helpers.scripts;
            match output {
                Output::Journal(entry) => scripts.unwritten.push(entry),
                Output::Accepted(under_way) => scripts.outbox.accept(under_way),
                Output::Forget(runs) => scripts.outbox.forget(&runs),
                Output::ToCore(message) => scripts.outbox.push(message),
                Output::Start(run) => {
                    self.write_journal();
                    self.meet(When::RunStarting, Some(&run.peer), shared);
                    let input = self.start_child(&run, shared);
                    self.decide(input, shared);
                }
                Output::Adopt { run, child } => {
                    let input = self.adopt_child(run, child, shared);
                    self.decide(input, shared);
                }
                Output::LookUp(lookup) => self.look_up(&lookup, shared),
                Output::Act(run, action) => self.act_on_child(run, action, shared),
            }
        }
    }

    /// Writes what the machine has had noted.
    fn write_journal(&mut self) {
        for entry in self.helpers.scripts.unwritten.drain(..) {
            self.disk.note(entry);
        }
    }

    /// Writes what is to be written, and then sends what waits for core, if core is there.
    fn deliver<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        if self.helpers.scripts.process.lives {
            self.write_journal();
        }
        while let Some(message) = self.helpers.scripts.outbox.front().cloned() {
            if !self.say_to_core(message, shared) {
                return;
            }
            self.helpers.scripts.outbox.sent();
        }
        self.tell_fullness(shared);
    }

    /// Tells core how things stand that it does not know yet.
    fn tell_fullness<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        for lane in Lane::ALL {
            let scripts = &self.helpers.scripts;
            let full = scripts.machine.as_ref().is_some_and(|it| it.is_full(lane));
            if full != *scripts.told_full.get(lane)
                && self.say_to_core(FromScripts::Full { lane, full }, shared)
            {
                *self.helpers.scripts.told_full.get_mut(lane) = full;
            }
        }
        let fault = self.disk.journal_fault.clone();
        if fault != self.helpers.scripts.told_fault
            && self.say_to_core(FromScripts::JournalFault(fault.clone()), shared)
        {
            self.helpers.scripts.told_fault = fault;
        }
    }

    /// Sends core a message. Whether there is a connection, and the helper has not died over it.
    fn say_to_core<W: Watcher>(&mut self, message: FromScripts, shared: &mut Shared<W>) -> bool {
        let Some(connection) = self.helpers.scripts.reach.connection else {
            return false;
        };
        if self.helpers.scripts.process.dies_here() {
            self.kill_helper(Part::Scripts, shared);
            return false;
        }
        if let FromScripts::Ended { run, .. } = &message {
            let peer = self.helpers.children.peer(*run).map(str::to_owned);
            self.meet(When::EndTold, peer.as_deref(), shared);
        }
        let message = Message::FromScripts(message);
        self.links.send(self.id, connection, message, shared);
        true
    }

    /// The script helper is killed: what it has not written is lost.
    pub(crate) fn drop_scripts(&mut self) {
        let scripts = &mut self.helpers.scripts;
        scripts.machine = None;
        scripts.inbox.clear();
        scripts.unwritten.clear();
        scripts.outbox = Outbox::default();
    }
}
