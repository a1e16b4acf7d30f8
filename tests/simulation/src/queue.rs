// SPDX-License-Identifier: GPL-3.0-or-later
//! What happens next: the steps of the world, by their instants. Those of the same instant keep the
//! order in which they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use connect_core::machine::ConnectionId;
use connect_ipc::RunId;
use connect_ipc::lookup::LookedUp;
use tripe_lab::server::ClientId;

use crate::host::children::ChildStep;
use crate::host::clients::ClientStep;
use crate::host::links::Message;
use crate::instant::Instant;
use crate::plan::{HostId, Part, Way};

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Step {
    /// A deadline of this life of a process may have passed, or it goes on after a standstill.
    Wake(HostId, Part, u32),
    /// Bytes arrive on an admin connection.
    Bytes(HostId, ClientId, Way),
    /// A datagram arrives.
    Datagram(HostId, SocketAddr, Vec<u8>),
    /// Something arrives on a connection between core and a helper.
    Message(HostId, ConnectionId, Box<Message>),
    /// A helper tries to reach core.
    Reach(HostId, Part, u32),
    /// Core tries to reach the server.
    Connect(HostId, u32),
    /// Core's state is written.
    Written(HostId, u32),
    /// Core looks at the database's file.
    Look(HostId, u32),
    /// Something happens to the child of a run.
    Child(HostId, RunId, ChildStep),
    /// A lookup of this life of the script helper has ended.
    LookedUp(HostId, u32, LookedUp),
    /// Something happens to a client.
    Client(HostId, ClientStep),
    /// The fault with this number is due.
    Fault(usize),
    /// The fault with this number has waited long enough for its instant.
    Impatient(usize),
    /// What a fault has done is over.
    Calm(usize),
    /// A process is started.
    Start(HostId, Part),
    /// A host wakes up.
    Awake(HostId),
    /// A minute has passed.
    Minute(u64),
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    steps: Vec<Option<Step>>,
    free: Vec<usize>,
    count: u64,
}

impl Queue {
    /// Puts in a step.
    pub(crate) fn push(&mut self, at: Instant, step: Step) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.steps[slot] = Some(step);
                slot
            }
            None => {
                self.steps.push(Some(step));
                self.steps.len() - 1
            }
        };
        self.count += 1;
        self.heap.push(Reverse((at, self.count, slot)));
    }

    /// Takes out the next step.
    pub(crate) fn pop(&mut self) -> Option<(Instant, Step)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.steps[slot].take().map(|step| (at, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_by_their_instants_and_else_in_their_order() {
        let mut queue = Queue::default();
        for (at, number) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            queue.push(Instant(at), Step::Fault(number));
        }
        let mut found = Vec::new();
        while let Some((at, Step::Fault(number))) = queue.pop() {
            found.push((at.0, number));
        }
        assert_eq!(found, [(3, 2), (3, 4), (5, 1), (5, 3)]);
    }
}
