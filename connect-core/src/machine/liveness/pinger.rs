// SPDX-License-Identifier: GPL-3.0-or-later
//! The connection to the pinger: what it remembers, and the messages to and from it.

use connect_ipc::PeerId;
use connect_ipc::control::{HelperStatus, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::hello::Role;
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_liveness::{CatchUp, Liveness};

use super::WatchAs;
use crate::machine::{ConnectionId, Machine, Output};

impl Machine {
    /// A pinger has connected.
    pub(in crate::machine) fn pinger_connected(
        &mut self,
        connection: ConnectionId,
        status: HelperStatus,
    ) {
        let helper = &mut self.pinger.helper;
        let pid = status.pid;
        if !helper.connected(Role::Pinger, connection, status, self.now) {
            return self.out.push(Output::Refuse(connection));
        }
        let helper = Role::Pinger;
        self.emit(None, || EventKind::HelperConnected { helper, pid });
        self.pinger.start_over();
    }

    /// The pinger has disconnected. Core knows everything that it knew, and sends the pings that it
    /// has ordered.
    pub(in crate::machine) fn pinger_lost(&mut self) {
        tracing::warn!("the pinger has disconnected");
        self.pinger.start_over();
        if self.server.joined_before() {
            // If it was about to say what it remembers, the part that it has said must not be given
            // to a peer that is adopted later.
            self.pinger.remembered.clear();
        }
        self.fail_all_asked("no-pinger");
    }

    /// Sends a message to the pinger at the end of the turn, if one is ready.
    pub(in crate::machine) fn tell_pinger(&mut self, message: ToPinger) {
        if self.pinger.helper.ready().is_some() {
            self.pinger.outbox.push(message);
        }
    }

    /// Sends what was collected for the pinger, unless all of it can wait.
    pub(in crate::machine) fn send_to_pinger(&mut self) {
        if let Some(connection) = self.pinger.helper.ready()
            && let Some(messages) = self.pinger.outbox.take_due(self.now)
        {
            let messages = messages.into_iter();
            self.out
                .extend(messages.map(|message| Output::ToPinger(connection, message)));
        }
    }

    /// From now on no result waits: core is ending, and the pinger will tell the next core what it
    /// knows.
    pub(in crate::machine) fn hurry_results(&mut self) {
        self.pinger.outbox.leave();
    }

    /// Stops the checks of a peer at the pinger.
    pub(in crate::machine) fn forget_at_pinger(&mut self, peer: PeerId) {
        self.tell_pinger(ToPinger::Forget(vec![peer]));
    }

    /// The server is lost: no ping can be sent.
    pub(in crate::machine) fn suspend_pings(&mut self) {
        self.pinger.queue.clear();
        self.tell_pinger(ToPinger::Suspend {});
    }

    /// Takes a message of the pinger.
    pub(in crate::machine) fn pinger_said(
        &mut self,
        connection: ConnectionId,
        message: FromPinger,
    ) {
        if !self.pinger.helper.is_at(connection) {
            return;
        }
        match message {
            FromPinger::Resume(known) if known.is_empty() => self.pinger_resumed(),
            FromPinger::Resume(known) => {
                let fresh = known.into_iter().map(|known| (known.name.clone(), known));
                self.pinger.remembered.extend(fresh);
            }
            FromPinger::Ping(orders) => {
                for order in orders {
                    self.ping_ordered(order);
                }
            }
            FromPinger::Late(orders) => {
                for order in orders {
                    self.late_ping_ordered(order);
                }
            }
            FromPinger::Proceeding {} => self.pinger.queue.proceeding(),
            FromPinger::LogLost(lines) => self.pinger.helper.status.log_lines_lost = lines,
            FromPinger::Error(text) => {
                tracing::warn!(error = text, "the pinger refused a message");
            }
        }
    }

    /// The pinger has said what it remembers; now it is told everything that it needs.
    fn pinger_resumed(&mut self) {
        self.pinger.helper.set_ready(self.now);
        let ids: Vec<PeerId> = self.peers.adopted().iter().map(|(id, _)| *id).collect();
        for id in &ids {
            // Core's own copy is newer, unless core has just started.
            let Some(peer) = self.peers.get(*id) else {
                continue;
            };
            let Some(known) = self.pinger.remembered.remove(peer.name()) else {
                continue;
            };
            if peer.outcome.is_new {
                continue;
            }
            let (is_from_state, now) = (self.pinger.from_state.contains(id), self.now);
            let untold = peer.adoption().and_then(|adoption| adoption.untold);
            self.peers.judge(*id, |liveness| {
                if is_from_state || liveness.is_untouched() {
                    let (plan, phase) = (*liveness.plan(), known.phase);
                    *liveness = Liveness::carried_on(plan, phase, known.statistics, now);
                    // This came after all that the pinger remembers.
                    if let Some(check) = untold {
                        check.begin(liveness, now);
                    }
                }
            });
        }
        self.pinger.from_state.clear();
        if self.server.joined_before() {
            // All peers are known, so the rest belongs to peers that are gone.
            self.pinger.remembered.clear();
        }
        for id in &ids {
            if let Some(adoption) = self.peers.adoption_mut(*id) {
                (adoption.untold, adoption.moved) = (None, false);
            }
            self.note_owed(*id);
        }
        self.watch(&ids, WatchAs::New);
        self.tell_pinger(match self.link() {
            ServerLink::Up => ToPinger::Ready {},
            ServerLink::Down | ServerLink::Joining => ToPinger::Suspend {},
        });
    }

    /// The server is connected again: pings in flight are void, and overdue checks are spread. The
    /// pinger does the same with its copies.
    pub(in crate::machine) fn proceed_with_pings(&mut self) {
        let mut ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        let mut catch_up = CatchUp::new(self.now);
        for id in ids {
            if let Some(adoption) = self.peers.adoption_mut(id) {
                adoption.liveness.catch_up(&mut catch_up);
            }
        }
        if self.pinger.helper.ready().is_some() {
            self.pinger.queue.await_proceeding();
            self.tell_pinger(ToPinger::Proceed { at: self.now });
        }
    }
}
