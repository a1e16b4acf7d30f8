// SPDX-License-Identifier: GPL-3.0-or-later
//! Adoption, and core's side of the ping loop: the pinger decides when to ping; core sends the
//! pings, judges the results and acts on what they mean.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{HelperStatus, ServerLink};
use connect_ipc::event::EventKind;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{
    FromPinger, PingOrder, PingOutcome, PingPlan, PingResult, ToPinger, Watched,
};
use connect_liveness::{CatchUp, Judgement, Liveness, Meaning};
use connect_plan::pinging::{is_dynamic, ping_plan};

use super::Machine;
use super::context::Context;
use super::peers::Adoption;

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

    fn adopt(&mut self, id: PeerId, due: impl FnOnce(&PingPlan) -> Monotonic) {
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
        let liveness = match remembered {
            Some(known) => Liveness::carried_on(plan, known.phase, known.statistics, self.now),
            None => Liveness::starting(plan, due(&plan)),
        };
        peer.adoption = Some(Box::new(Adoption {
            liveness,
            kind,
            ping: None,
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
        if let Some(peer) = self.peers.get_mut(id)
            && let Some(adoption) = peer.adoption.take()
        {
            // If the peer is adopted again soon, its next ping must be the only one in flight.
            if let Some(tag) = adoption.ping {
                self.session.cancel(tag);
            }
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
                plan: *adoption.liveness.plan(),
                phase: (how == WatchAs::New).then_some(*adoption.liveness.phase()),
                statistics: *adoption.liveness.statistics(),
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
        self.pinger_starts_over();
    }

    /// The pinger is gone. Core knows all that it knew, and sends what it has ordered.
    pub fn pinger_lost(&mut self) {
        let connections = self.pinger.status.connections;
        self.pinger.status = HelperStatus {
            connections,
            ..HelperStatus::default()
        };
        self.pinger_starts_over();
    }

    fn pinger_starts_over(&mut self) {
        self.pinger.ready = false;
        self.result_batch.clear();
        self.ping_queue.forget_pinger();
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
                    self.ping_ordered(order);
                }
                self.send_due_pings();
            }
            FromPinger::Proceeding {} => self.ping_queue.proceeding(),
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
            // Core's own copy is the newer one, unless core has just begun.
            let Some(peer) = self.peers.get_mut(*id) else {
                continue;
            };
            let Some(known) = self.remembered.remove(peer.name()) else {
                continue;
            };
            if let Some(adoption) = &mut peer.adoption
                && (self.from_state.contains(id) || adoption.liveness.is_untouched())
            {
                let plan = *adoption.liveness.plan();
                adoption.liveness =
                    Liveness::carried_on(plan, known.phase, known.statistics, self.now);
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
    }

    /// The server is back: pings in flight are void, and overdue checks are spread. The pinger does
    /// the same to its copies.
    pub(super) fn proceed_with_pings(&mut self) {
        let mut ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        let mut catch_up = CatchUp::new(self.now);
        for id in ids {
            if let Some(adoption) = self.peers.adoption_mut(id) {
                adoption.liveness.catch_up(&mut catch_up);
            }
        }
        if self.pinger.ready {
            self.ping_queue.await_proceeding();
            self.out.to_pinger.push(ToPinger::Proceed {});
        }
    }

    /// Takes an order of the pinger. The ping counts as in flight from now on, so that core and the
    /// pinger see the peer alike while the order waits.
    fn ping_ordered(&mut self, order: PingOrder) {
        if self.link != ServerLink::Up || !self.ping_queue.is_open() {
            // Made before the pinger learnt of an outage, so the pinger will void it.
            return;
        }
        let Some(adoption) = self.peers.adoption_mut(order.peer) else {
            // Removed while the order was on its way: the pinger has been told.
            return;
        };
        if adoption.liveness.begin(order.seq, order.due) {
            return self.ping_queue.push(order);
        }
        let PingOrder { peer, seq, .. } = order;
        tracing::warn!(
            peer = peer.0,
            seq,
            "the pinger has ordered a ping beside one in flight, or of a number already used; \
             it is told where the peer stands"
        );
        self.watch(&[peer], WatchAs::New);
    }

    /// Sends every ping that is due by now.
    pub(super) fn send_due_pings(&mut self) {
        while let Some(order) = self.ping_queue.take(self.now) {
            self.send_ping(order);
        }
    }

    /// Sends a ping that the pinger has ordered.
    fn send_ping(&mut self, order: PingOrder) {
        // Removed or disowned since: the pinger has been told.
        let Some(peer) = self.peers.get(order.peer) else {
            return;
        };
        let Some(adoption) = peer.adoption.as_deref() else {
            return;
        };
        let command = adoption.kind.command();
        let timeout = adoption.liveness.plan().timeout.to_string();
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

    /// Judges a result, hands it to the pinger, and acts on what it means.
    pub(super) fn ping_result(&mut self, id: PeerId, seq: u32, outcome: PingOutcome) {
        let now = self.now;
        let Some(adoption) = self.peers.adoption_mut(id) else {
            return;
        };
        let replied_before = adoption.liveness.phase().rounds == 0;
        let Some(judgement) = adoption.liveness.result(id, seq, outcome, now) else {
            return;
        };
        adoption.ping = None;
        let due = adoption.liveness.phase().due;
        let changed = match judgement.meaning {
            Meaning::Recovered { .. } => true,
            Meaning::Missed { attempt, .. } => attempt == 1 && replied_before,
            Meaning::Expected | Meaning::NotSent => false,
        };
        if changed {
            adoption.changed = Some(now);
        }
        let result = PingResult {
            peer: id,
            seq,
            outcome,
        };
        let expected = judgement.meaning == Meaning::Expected;
        self.tell_result(result, expected.then_some(due));
        if self.observed || !expected {
            self.act_on(id, outcome, judgement, due);
        }
    }

    /// Hands a result to the pinger. An expected reply, after which the peer is due at `rests`, may
    /// wait for others, unless something is about to leave, which it must not overtake.
    fn tell_result(&mut self, result: PingResult, rests: Option<Monotonic>) {
        if !self.pinger.ready {
            // The next pinger is told where the peer stands.
            return;
        }
        let urgent = match rests {
            Some(due) if self.out.to_pinger.is_empty() => {
                self.result_batch.offer(result, due, self.now)
            }
            Some(_) | None => Some(result),
        };
        let Some(result) = urgent else { return };
        match self.out.to_pinger.last_mut() {
            Some(ToPinger::Results(list)) if list.len() < ITEMS_PER_FRAME => list.push(result),
            _ => self.out.to_pinger.push(ToPinger::Results(vec![result])),
        }
    }

    /// Acts on what a result means; the peer is due next at `due`.
    fn act_on(&mut self, id: PeerId, outcome: PingOutcome, judgement: Judgement, due: Monotonic) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        if self.observed
            && let PingOutcome::Reply(millis) = outcome
            && matches!(
                judgement.meaning,
                Meaning::Expected | Meaning::Recovered { .. }
            )
        {
            self.emit(Some(&name), || EventKind::Reply { millis });
        }
        match judgement.meaning {
            Meaning::Recovered { failures } => {
                self.emit(Some(&name), || EventKind::Recovered { failures });
                self.warn(["ping-ok", &name], &[""; 0]);
            }
            Meaning::Missed { attempt, of } => {
                self.emit(Some(&name), || EventKind::Missed { attempt, of });
                let (attempt, of) = (attempt.to_string(), of.to_string());
                self.warn(
                    ["ping-timeout", &name, "attempt", &attempt, "of", &of],
                    &[""; 0],
                );
            }
            Meaning::Expected | Meaning::NotSent => {}
        }
        if let Some(rounds) = judgement.unreachable {
            self.counters.unreachable += 1;
            let wait = due.since(self.now).as_millis();
            let next = u64::try_from(wait).unwrap_or(u64::MAX);
            self.emit(Some(&name), || EventKind::Unreachable { rounds, next });
            self.unreachable(id);
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
        adoption.liveness.sabotage(self.now);
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
