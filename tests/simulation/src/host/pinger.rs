// SPDX-License-Identifier: GPL-3.0-or-later
//! The pinger on a host: the product's machine, in the loop of connect-pinger/src/run.rs.

use std::collections::VecDeque;

use connect_ipc::pinger::FromPinger;
use connect_pinger::machine::{Input, Machine, Output};

use super::Host;
use super::links::{Message, Reach};
use super::process::Process;
use crate::plan::{Part, When};
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

/// The pinger.
#[derive(Debug, Default)]
pub(crate) struct PingerSide {
    pub(crate) process: Process,
    pub(crate) machine: Option<Machine>,
    pub(crate) reach: Reach,
    inbox: VecDeque<Input>,
    out: Vec<Output>,
}

impl Host {
    /// Starts the pinger.
    pub(crate) fn start_pinger<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let pinger = &mut self.helpers.pinger;
        if pinger.process.lives {
            return;
        }
        pinger.process.start(shared.now);
        pinger.machine = Some(Machine::default());
        pinger.reach = Reach::default();
        pinger.inbox.clear();
        let life = pinger.process.life;
        shared.see(self.id, Seen::Lives(Part::Pinger, life));
        let step = Step::Reach(self.id, Part::Pinger, life);
        shared.queue.push(shared.now, step);
    }

    /// Something has arrived for the pinger.
    pub(crate) fn tell_pinger<W: Watcher>(&mut self, input: Input, shared: &mut Shared<W>) {
        if self.helpers.pinger.process.lives {
            self.helpers.pinger.inbox.push_back(input);
            self.pinger_turns(shared);
        }
    }

    /// The pinger's deadline may have passed.
    pub(crate) fn pinger_wakes<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        self.helpers.pinger.process.wake = None;
        self.pinger_turns(shared);
    }

    fn pinger_turns<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let now = self.clock(shared);
        let pinger = &mut self.helpers.pinger;
        let Some(machine) = &mut pinger.machine else {
            return;
        };
        if !pinger.process.is_able(shared.now) {
            return;
        }
        let mut out = std::mem::take(&mut pinger.out);
        while let Some(input) = pinger.inbox.pop_front() {
            shared.sum_all(self.id, &input);
            machine.handle(input, now, &mut out);
        }
        machine.handle(Input::Time {}, now, &mut out);
        let due = machine.next_deadline();
        let part = Part::Pinger;
        let outputs = out.len();
        shared.see(self.id, Seen::Turn { part, outputs });
        for Output::ToCore(message) in out.drain(..) {
            shared.sum_all(self.id, &message);
            if self.helpers.pinger.process.dies_here() {
                return self.kill_helper(Part::Pinger, shared);
            }
            if matches!(message, FromPinger::Ping(_) | FromPinger::Late(_)) {
                self.meet(When::OrderOnItsWay, None, shared);
            }
            if let Some(connection) = self.helpers.pinger.reach.connection {
                let message = Message::FromPinger(message);
                self.links.send(self.id, connection, message, shared);
            }
        }
        self.helpers.pinger.out = out;
        let due = self.when(due);
        self.set_wake(Part::Pinger, due, shared);
    }

    /// The pinger is killed.
    pub(crate) fn drop_pinger(&mut self) {
        let pinger = &mut self.helpers.pinger;
        pinger.machine = None;
        pinger.inbox.clear();
        pinger.out.clear();
    }
}
