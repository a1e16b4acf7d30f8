// SPDX-License-Identifier: GPL-3.0-or-later
//! Adoption, and core's side of the ping loop: the pinger decides when to ping and what a result
//! means; core sends the pings, keeps the figures and acts on the verdicts.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{HelperStatus, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{
    FromPinger, Meaning, PingOrder, PingOutcome, PingPhase, PingResult, ToPinger, Verdict, Watched,
};
use connect_ipc::statistics::PingStatistics;
use connect_plan::pinging::{is_dynamic, ping_plan};

use super::Machine;
use super::context::Context;
use super::peers::Adoption;
use super::state::carried_on;

/// From this many peers on, first pings are spread over a whole interval; fewer are spread over a
/// part in proportion, so that a handful is checked almost at once.
const FULL_SPREAD: u32 = 100;

impl Machine {
    /// Whether a peer is to be adopted (connect(8), "Adoption").
    fn eligible(&self, id: PeerId) -> bool {
        self.peers
            .get(id)
            .and_then(|peer| peer.record.as_ref())
            .is_some_and(|r| r.flag("watch"))
    }

    /// Adopts a peer that has just been added, if it is eligible: first ping after one interval,
    /// since a peer that was added this moment has no keys yet.
    pub(super) fn adopt_added(&mut self, id: PeerId) {
        if self.eligible(id) {
            let now = self.now;
            self.adopt(id, |plan| now + Duration::from_secs(u64::from(plan.every)));
        }
    }

    /// Adopts all eligible ones of peers that were there before us; their first pings are spread
    /// out, so that thousands of peers do not ping in one instant.
    pub(super) fn adopt_many(&mut self, ids: &[PeerId]) {
        let eligible: Vec<PeerId> = ids
            .iter()
            .copied()
            .filter(|id| self.eligible(*id))
            .collect();
        let count = u32::try_from(eligible.len()).unwrap_or(u32::MAX);
        let now = self.now;
        for (index, id) in (0u32..).zip(eligible) {
            self.adopt(id, |plan| {
                let whole = Duration::from_secs(u64::from(plan.every));
                let spread = whole * count.min(FULL_SPREAD) / FULL_SPREAD;
                now + spread.mul_f64(f64::from(index) / f64::from(count.max(1)))
            });
        }
    }

    fn adopt(&mut self, id: PeerId, due: impl FnOnce(&connect_ipc::pinger::PingPlan) -> Monotonic) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let Some(record) = &peer.record else { return };
        let (plan, kind, faults) = ping_plan(record, self.config.ping);
        for fault in faults {
            tracing::warn!("{fault}; the default is used");
        }
        // A pinger that outlived an earlier core knows how the peer fared.
        let remembered = self.remembered.remove(peer.name());
        let (phase, statistics) = match remembered {
            Some(known) => (carried_on(known.phase, &plan, self.now), known.statistics),
            None => (
                PingPhase {
                    due: due(&plan),
                    ..PingPhase::default()
                },
                PingStatistics::default(),
            ),
        };
        peer.adoption = Some(Box::new(Adoption {
            plan,
            kind,
            phase,
            ping: None,
            statistics,
            since: self.now,
            changed: None,
            reconnects: 0,
            last_reconnect: None,
        }));
        let name = peer.name().to_owned();
        tracing::debug!(peer = name, "adopted");
        self.emit(Some(&name), || EventKind::Adopted {});
        self.watch(&[id], WatchAs::New);
    }

    /// Stops pinging a peer that stays with the server.
    pub(super) fn disown(&mut self, id: PeerId) {
        self.cancel_ping(id);
        if let Some(peer) = self.peers.get_mut(id)
            && peer.adoption.take().is_some()
        {
            let name = peer.name().to_owned();
            tracing::debug!(peer = name, "disowned");
            self.emit(Some(&name), || EventKind::Disowned {});
            self.out.to_pinger.push(ToPinger::Forget(vec![id]));
            self.peers.renumber(id);
        }
    }

    /// Tells the pinger about peers.
    pub(super) fn watch(&mut self, ids: &[PeerId], how: WatchAs) {
        if !self.pinger.ready {
            return;
        }
        let watched = ids.iter().filter_map(|id| {
            let peer = self.peers.get(*id)?;
            let adoption = peer.adoption.as_ref()?;
            Some(Watched {
                peer: *id,
                name: peer.name().to_owned(),
                plan: adoption.plan,
                phase: (how == WatchAs::New).then_some(adoption.phase),
                statistics: adoption.statistics,
            })
        });
        for watched in watched {
            // Peers adopted in one turn go out in few messages.
            match self.out.to_pinger.last_mut() {
                Some(ToPinger::Watch(list)) if list.len() < ITEMS_PER_FRAME => list.push(watched),
                _ => self.out.to_pinger.push(ToPinger::Watch(vec![watched])),
            }
        }
    }

    /// A pinger has connected.
    pub fn pinger_connected(&mut self, status: HelperStatus) {
        self.pinger.status = HelperStatus {
            connections: self.pinger.status.connections + 1,
            ..status
        };
        self.pinger.ready = false;
        self.resting.clear();
        self.orders.clear();
    }

    /// The pinger is gone. What it knew is known here as well.
    pub fn pinger_lost(&mut self) {
        let connections = self.pinger.status.connections;
        self.pinger.status = HelperStatus {
            connections,
            ..HelperStatus::default()
        };
        self.pinger.ready = false;
        self.resting.clear();
        self.orders.clear();
    }

    /// Takes a message of the pinger.
    pub fn from_pinger(&mut self, message: FromPinger, now: Monotonic) {
        self.now = now;
        match message {
            FromPinger::Resume(known) if known.is_empty() => self.pinger_resumed(),
            FromPinger::Resume(known) => {
                let fresh = known.into_iter().map(|known| (known.name.clone(), known));
                self.remembered.extend(fresh);
            }
            FromPinger::Ping(orders) => {
                for order in orders {
                    self.orders.push(order);
                }
                self.send_due_pings();
            }
            FromPinger::Verdicts(verdicts) => {
                for verdict in verdicts {
                    self.judged(verdict);
                }
            }
            FromPinger::Error(text) => {
                tracing::warn!("the pinger did not understand a message: {text}");
            }
        }
    }

    /// The pinger has told all it remembers; now it is told all it needs.
    fn pinger_resumed(&mut self) {
        self.pinger.ready = true;
        let ids: Vec<PeerId> = self.peers.adopted().iter().map(|(id, _)| *id).collect();
        for id in &ids {
            // Core's own figures are the newer ones, unless it has just begun.
            let Some(peer) = self.peers.get_mut(*id) else {
                continue;
            };
            let Some(known) = self.remembered.remove(peer.name()) else {
                continue;
            };
            if let Some(adoption) = &mut peer.adoption
                && (self.from_state.contains(id)
                    || (adoption.statistics == PingStatistics::default()
                        && adoption.phase.last_seq == 0))
            {
                adoption.statistics = known.statistics;
                adoption.phase = carried_on(known.phase, &adoption.plan, self.now);
            }
        }
        self.from_state.clear();
        if self.joined_before {
            // All peers are known, so what is left is of peers that are gone.
            self.remembered.clear();
        }
        self.watch(&ids, WatchAs::New);
        self.out.to_pinger.push(match self.link {
            ServerLink::Up => ToPinger::Ready {},
            ServerLink::Down | ServerLink::Joining => ToPinger::Suspend {},
        });
        for result in std::mem::take(&mut self.pending_results) {
            self.ping_result(result.peer, result.seq, result.outcome);
        }
    }

    /// Ends the wait for a ping under way, of which nobody wants to hear any more. Without this a
    /// peer that is soon pinged again would have two pings under way.
    fn cancel_ping(&mut self, id: PeerId) {
        if let Some(adoption) = self.peers.adoption_mut(id) {
            adoption.phase.in_flight = None;
            if let Some(tag) = adoption.ping.take() {
                self.session.cancel(tag);
            }
        }
    }

    /// Sends every ping that is due by now.
    pub(super) fn send_due_pings(&mut self) {
        while let Some(order) = self.orders.take(self.now) {
            self.ping(order);
        }
    }

    /// Sends a ping that the pinger asks for.
    fn ping(&mut self, order: PingOrder) {
        // The pinger has given up the one before, which it can only have lost sight of when the
        // server was away for a moment.
        self.cancel_ping(order.peer);
        // Removed while the order was on its way: the pinger has been told.
        let Some(peer) = self.peers.get_mut(order.peer) else {
            return;
        };
        let Some(adoption) = peer.adoption.as_deref_mut() else {
            return;
        };
        adoption.phase.checking = true;
        adoption.phase.failures = order.failures;
        adoption.phase.due = order.due;
        adoption.phase.last_seq = order.seq;
        if self.link == ServerLink::Down {
            // The pinger learns of the outage as well, and voids this ping when it is over.
            return;
        }
        adoption.phase.in_flight = Some(order.seq);
        let command = adoption.kind.command();
        let timeout = adoption.plan.timeout.to_string();
        let end_of_options = peer.name().starts_with('-').then_some("--");
        let words = ["-timeout", &timeout]
            .into_iter()
            .chain(end_of_options)
            .chain([peer.name()]);
        let context = Context::Ping {
            peer: order.peer,
            seq: order.seq,
            outcome: None,
        };
        match self.session.background(context, command, words) {
            Ok(tag) => {
                if let Some(adoption) = self.peers.adoption_mut(order.peer) {
                    adoption.ping = Some(tag);
                }
            }
            Err(error) => {
                tracing::warn!("cannot ping: {error}");
                self.ping_result(order.peer, order.seq, PingOutcome::Failed);
            }
        }
    }

    /// Counts a result and hands it to the pinger.
    pub(super) fn ping_result(&mut self, id: PeerId, seq: u32, outcome: PingOutcome) {
        let now = self.now;
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return;
        };
        if adoption.phase.in_flight != Some(seq) {
            return;
        }
        adoption.ping = None;
        let result = PingResult {
            peer: id,
            seq,
            outcome,
        };
        if !self.pinger.ready {
            // Kept for the pinger that comes next, which will see this ping as under way.
            self.pending_results.push(result);
            return;
        }
        let mut answered = None;
        let mut next = None;
        let phase = &mut adoption.phase;
        phase.in_flight = None;
        match outcome {
            PingOutcome::Reply(millis) if !phase.sabotaged => {
                adoption.statistics.record_reply(millis);
                answered = Some(millis);
                if phase.failures == 0 && phase.rounds == 0 {
                    // Nothing will be said about a reply that was expected, so note the outcome
                    // here, as the pinger does.
                    phase.checking = false;
                    phase.due = adoption.plan.next_check(phase.due, now);
                    next = Some(phase.due);
                }
            }
            PingOutcome::Reply(_) | PingOutcome::Timeout => adoption.statistics.record_loss(),
            PingOutcome::Failed => {}
        }
        if self.observed
            && let Some(millis) = answered
            && let Some(peer) = self.peers.get(id)
        {
            let name = peer.name().to_owned();
            self.emit(Some(&name), || EventKind::Reply { millis });
        }
        // An expected reply may rest; anything else is pushed now.
        let urgent = match next {
            Some(due) => self.resting.offer(result, due, now),
            None => Some(result),
        };
        if let Some(result) = urgent {
            self.push_result(result);
        }
    }

    fn push_result(&mut self, result: PingResult) {
        match self.out.to_pinger.last_mut() {
            Some(ToPinger::Results(list)) if list.len() < ITEMS_PER_FRAME => list.push(result),
            _ => self.out.to_pinger.push(ToPinger::Results(vec![result])),
        }
    }

    /// Acts on what the pinger made of a result.
    fn judged(&mut self, verdict: Verdict) {
        let Some(peer) = self.peers.get_mut(verdict.peer) else {
            return;
        };
        let name = peer.name().to_owned();
        let Some(adoption) = peer.adoption.as_deref_mut() else {
            return;
        };
        let phase = &mut adoption.phase;
        phase.due = verdict.next;
        let now = self.now;
        match verdict.meaning {
            Meaning::Recovered { failures } => {
                phase.failures = failures;
                phase.rounds = 0;
                phase.checking = false;
                adoption.changed = Some(now);
                self.emit(Some(&name), || EventKind::Recovered { failures });
                self.warn(["ping-ok", &name], &[""; 0]);
            }
            Meaning::Missed { attempt, of } => {
                phase.failures = attempt;
                if attempt == 1 && phase.rounds == 0 {
                    adoption.changed = Some(now);
                }
                self.emit(Some(&name), || EventKind::Missed { attempt, of });
                let (attempt, of) = (attempt.to_string(), of.to_string());
                self.warn(
                    ["ping-timeout", &name, "attempt", &attempt, "of", &of],
                    &[""; 0],
                );
            }
            Meaning::Unreachable { rounds } => {
                phase.rounds = rounds;
                phase.checking = false;
                phase.sabotaged = false;
                self.counters.unreachable += 1;
                let wait = verdict.next.since(now).as_millis();
                let next = u64::try_from(wait).unwrap_or(u64::MAX);
                self.emit(Some(&name), || EventKind::Unreachable { rounds, next });
                self.unreachable(verdict.peer);
            }
        }
    }

    /// A peer did not answer any attempt: reconnect or kill it (connect(8), "Operation").
    fn unreachable(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        if peer.record.as_ref().is_some_and(is_dynamic) {
            self.warn(["reconnecting", &name], &[""; 0]);
            self.reconnect(id);
        } else {
            self.command_on_peer(Context::Kill(name.clone()), "KILL", &name);
        }
    }

    /// Makes a connection anew: a key exchange, which is all that a `knock` needs, and the
    /// `connect` command if there is one.
    pub(super) fn reconnect(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        let now = self.now;
        self.counters.reconnects += 1;
        if let Some(adoption) = self.peers.adoption_mut(id) {
            adoption.reconnects += 1;
            adoption.last_reconnect = Some(now);
        }
        self.emit(Some(&name), || EventKind::Reconnecting {});
        self.command_on_peer(Context::ForceKx(id), "FORCEKX", &name);
        self.run_connect(id);
    }

    /// Makes an adopted peer seem dead; `false` if the peer is not adopted.
    pub(super) fn sabotage(&mut self, name: &str) -> bool {
        let Some(id) = self.peers.find(name) else {
            return false;
        };
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return false;
        };
        adoption.phase.sabotaged = true;
        if !adoption.phase.checking {
            adoption.phase.due = self.now;
        }
        if self.pinger.ready {
            self.out.to_pinger.push(ToPinger::Sabotage(id));
        }
        true
    }
}

/// Whether a peer is new to the pinger or only its plan has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WatchAs {
    /// New: it starts at the phase given.
    New,
    /// Known: it keeps its phase.
    Replanned,
}
