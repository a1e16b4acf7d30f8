// SPDX-License-Identifier: GPL-3.0-or-later
//! Pings on their way to the server: the pinger orders them in advance, and core sends each when it
//! is due.

use connect_ipc::PeerId;
use connect_ipc::control::ServerLink;
use connect_ipc::pinger::{PingOrder, PingResult};

use super::WatchAs;
use crate::machine::Machine;
use crate::machine::peers::SentPing;
use crate::machine::server::Pending;

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
        if adoption.liveness.begin(order.seq, order.due) {
            return self.pinger.queue.push(order);
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
        let Some(adoption) = peer.adoption() else {
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
