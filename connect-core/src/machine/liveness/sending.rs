// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings on their way to the server: the pinger orders them in advance, and core sends each when it
//! is due.

use connect_ipc::PeerId;
use connect_ipc::control::ServerLink;
use connect_ipc::pinger::{PingOrder, PingResult};

use super::WatchAs;
use crate::machine::Machine;
use crate::machine::peers::{Adoption, SentPing};
use crate::machine::server::Pending;

/// How many void orders are kept, besides two for each peer.
const VOID: usize = 1_024;

/// Whether the ping of an order is to be sent still: it has not been, and is not due at another
/// time since.
fn is_open(adoption: &Adoption, order: &PingOrder) -> bool {
    let phase = adoption.liveness.phase();
    let is_in_force = phase.in_flight == Some(order.seq) && phase.due == order.due;
    adoption.ping.is_none() && is_in_force
}

impl Machine {
    /// Takes an order of the pinger. The ping counts as in flight from now on, so that core and the
    /// pinger have the same state of the peer while the order waits.
    pub(super) fn ping_ordered(&mut self, order: PingOrder) {
        if self.link() != ServerLink::Up || !self.pinger.queue.is_open() {
            // The pinger made it before it knew that the server was lost, so it will treat it as
            // void.
            return;
        }
        let Some(adoption) = self.peers.adoption_mut(order.peer) else {
            // The peer was removed while the order was on its way, and the pinger was told.
            return;
        };
        let due = match std::mem::take(&mut adoption.moved) {
            true => order.due.min(adoption.liveness.phase().due),
            false => order.due,
        };
        if adoption.liveness.begin(order.seq, due) {
            return self.enqueue(PingOrder { due, ..order });
        }
        let PingOrder { peer, seq, .. } = order;
        tracing::warn!(
            peer = peer.0,
            seq,
            "ignoring a ping order: another ping of the peer is in flight, or the number was \
             already used; telling the pinger the peer's state"
        );
        self.watch(&[peer], WatchAs::New);
    }

    /// Takes an order for a ping that is late. The pinger has decided when it is due, whatever has
    /// moved before.
    pub(super) fn late_ping_ordered(&mut self, order: PingOrder) {
        if let Some(adoption) = self.peers.adoption_mut(order.peer) {
            adoption.moved = false;
        }
        self.ping_ordered(order);
    }

    /// The next check of a peer is due earlier than before: so is its ping, if it is ordered and
    /// not sent.
    pub(in crate::machine) fn check_moved(&mut self, id: PeerId) {
        self.note_owed(id);
        let is_up = self.link() == ServerLink::Up;
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return;
        };
        let phase = *adoption.liveness.phase();
        match phase.in_flight {
            None => adoption.moved = true,
            Some(seq) if is_up && adoption.ping.is_none() => {
                let (peer, due) = (id, phase.due);
                self.enqueue(PingOrder { peer, seq, due });
            }
            Some(_) => {}
        }
    }

    /// Keeps an order until it is due. Forgets the orders that are void, if there are very many:
    /// they are passed over only when they would be due.
    fn enqueue(&mut self, order: PingOrder) {
        self.pinger.queue.push(order);
        let (queue, peers) = (&mut self.pinger.queue, &self.peers);
        if queue.len() > 2 * peers.len() + VOID {
            queue.retain(|order| {
                let peer = peers.get(order.peer);
                peer.and_then(|peer| peer.adoption())
                    .is_some_and(|adoption| is_open(adoption, order))
            });
        }
    }

    /// Sends every ping that is due by now.
    pub(in crate::machine) fn send_due_pings(&mut self) {
        while let Some(order) = self.pinger.queue.take(self.now) {
            self.send_ping(order);
        }
    }

    /// Sends a ping that the pinger has ordered.
    fn send_ping(&mut self, order: PingOrder) {
        // The peer was removed or disowned since, and the pinger was told.
        let Some(peer) = self.peers.get(order.peer) else {
            return;
        };
        let Some(adoption) = peer.adoption().filter(|it| is_open(it, &order)) else {
            return;
        };
        let command = adoption.kind.command();
        let timeout = adoption.liveness.plan().timeout.to_string();
        let end_of_options = peer.name().starts_with('-').then_some("--");
        let words = ["-timeout", &timeout]
            .into_iter()
            .chain(end_of_options)
            .chain([peer.name()]);
        let pending = Pending::Ping {
            peer: order.peer,
            seq: order.seq,
            end: None,
        };
        match self.server.session.background(pending, command, words) {
            Ok(tag) => {
                let sent = self.now;
                if let Some(adoption) = self.peers.adoption_mut(order.peer) {
                    adoption.ping = Some(SentPing { tag, sent });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot send a ping");
                self.ping_result(order.peer, order.seq, PingResult::Failed);
            }
        }
    }

    /// The server will never answer a ping that was sent. Until it is connected again the peer
    /// counts as waiting for the answer.
    pub(in crate::machine) fn void_ping(&mut self, id: PeerId) {
        if let Some(adoption) = self.peers.adoption_mut(id) {
            adoption.ping = None;
        }
    }
}
