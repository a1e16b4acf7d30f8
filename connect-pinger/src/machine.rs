// SPDX-License-Identifier: GPL-3.0-or-later
//! All watched peers and their deadlines, as a pure state machine: messages of core and the time
//! go in, orders and verdicts come out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::{PingOrder, Remembered, ToPinger, Verdict, Watched};

use crate::liveness::Liveness;

/// How far apart overdue pings are put when the server comes back: a thousand a second leaves the
/// server room for its own work, and a handful of peers is still checked at once.
const CATCH_UP_SPACING: Duration = Duration::from_millis(1);

/// How far ahead pings are ordered, so that ten wake-ups a second are enough for any number of
/// peers: a tenth of the shortest period. Core sends each when it is due.
const AHEAD: Duration = Duration::from_millis(100);

/// What is to be sent to core.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Pings to send.
    pub orders: Vec<PingOrder>,
    /// What results meant.
    pub verdicts: Vec<Verdict>,
    /// Faults of the other side.
    pub errors: Vec<String>,
}

/// When the machine may send pings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gate {
    /// Core has not named all peers yet, or is gone.
    Waiting,
    /// The tripe server is out of reach.
    Suspended,
    /// Pings can be sent.
    Open,
}

/// The whole table.
#[derive(Debug)]
pub struct Machine {
    peers: HashMap<PeerId, Liveness>,
    /// Deadlines, the earliest first. An entry counts only if it is the peer's deadline still;
    /// others are left over from a changed mind and are passed over.
    deadlines: BinaryHeap<Reverse<(Monotonic, PeerId)>>,
    gate: Gate,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            peers: HashMap::new(),
            deadlines: BinaryHeap::new(),
            gate: Gate::Waiting,
        }
    }
}

impl Machine {
    /// How many peers are watched.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// A new core is there: hands over what is known and starts with an empty table.
    pub fn hand_over(&mut self) -> Vec<Remembered> {
        self.gate = Gate::Waiting;
        self.deadlines.clear();
        let mut known: Vec<Remembered> = self
            .peers
            .drain()
            .map(|(_, peer)| peer.remember())
            .collect();
        known.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        known
    }

    /// Core is gone: keeps everything, sends nothing.
    pub fn core_lost(&mut self) {
        self.gate = Gate::Waiting;
    }

    /// Takes one message.
    pub fn handle(&mut self, message: ToPinger, now: Monotonic, out: &mut Outputs) {
        match message {
            ToPinger::Watch(peers) => {
                for watched in peers {
                    self.watch(watched, now);
                }
            }
            ToPinger::Ready {} => self.gate = Gate::Open,
            ToPinger::Forget(peers) => {
                for peer in peers {
                    self.peers.remove(&peer);
                }
            }
            ToPinger::Results(results) => {
                for result in results {
                    // A peer forgotten meanwhile has no use for its result.
                    if let Some(peer) = self.peers.get_mut(&result.peer) {
                        peer.result(result.seq, result.outcome, now, &mut out.verdicts);
                        Self::schedule(&mut self.deadlines, result.peer, peer);
                    }
                }
            }
            ToPinger::CheckNow(peers) => {
                for id in peers {
                    self.change(id, out, |peer| peer.check_now(now));
                }
            }
            ToPinger::Sabotage(id) => self.change(id, out, |peer| peer.sabotage(now)),
            ToPinger::Suspend {} => self.gate = Gate::Suspended,
            ToPinger::Proceed {} => self.proceed(now),
            ToPinger::Error(text) => out.errors.push(text),
        }
    }

    fn watch(&mut self, watched: Watched, now: Monotonic) {
        let id = watched.peer;
        let peer = match (self.peers.get_mut(&id), &watched.phase) {
            (Some(peer), None) => {
                peer.replan(watched.plan, now);
                peer
            }
            _ => self
                .peers
                .entry(id)
                .insert_entry(Liveness::new(watched, now))
                .into_mut(),
        };
        Self::schedule(&mut self.deadlines, id, peer);
    }

    fn change(&mut self, id: PeerId, out: &mut Outputs, change: impl FnOnce(&mut Liveness)) {
        match self.peers.get_mut(&id) {
            Some(peer) => {
                change(peer);
                Self::schedule(&mut self.deadlines, id, peer);
            }
            None => out
                .errors
                .push(format!("peer number {} is not watched", id.0)),
        }
    }

    /// The server is back: pings that were under way are void, and all that is overdue is spread,
    /// so that the server is not met by everything at once.
    fn proceed(&mut self, now: Monotonic) {
        self.gate = Gate::Open;
        let mut ids: Vec<PeerId> = self.peers.keys().copied().collect();
        ids.sort_unstable();
        let mut slot = now;
        for id in ids {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let before = peer.deadline();
            peer.void_ping(slot);
            peer.postpone(now, slot);
            if peer.deadline() != before {
                slot = slot + CATCH_UP_SPACING;
                Self::schedule(&mut self.deadlines, id, peer);
            }
        }
    }

    fn schedule(
        deadlines: &mut BinaryHeap<Reverse<(Monotonic, PeerId)>>,
        id: PeerId,
        peer: &Liveness,
    ) {
        if let Some(deadline) = peer.deadline() {
            deadlines.push(Reverse((deadline, id)));
        }
    }

    /// Orders every ping that is due soon.
    pub fn tick(&mut self, now: Monotonic, out: &mut Outputs) {
        if self.gate != Gate::Open {
            return;
        }
        while let Some(Reverse((deadline, id))) = self.deadlines.peek().copied() {
            if deadline > now + AHEAD {
                break;
            }
            self.deadlines.pop();
            if let Some(peer) = self.peers.get_mut(&id)
                && peer.deadline() == Some(deadline)
            {
                out.orders.push(peer.ping());
            }
        }
    }

    /// When [`Machine::tick`] has something to do next.
    pub fn next_deadline(&mut self) -> Option<Monotonic> {
        if self.gate != Gate::Open {
            return None;
        }
        // Entries that no longer count would only wake us for nothing.
        while let Some(Reverse((deadline, id))) = self.deadlines.peek().copied() {
            if self.peers.get(&id).and_then(Liveness::deadline) == Some(deadline) {
                return Some(deadline);
            }
            self.deadlines.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::pinger::{Meaning, PingOutcome, PingPhase, PingPlan, PingResult};
    use connect_ipc::statistics::PingStatistics;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000_000)
    }

    fn watched(id: u64, due: u64) -> Watched {
        Watched {
            peer: PeerId(id),
            name: format!("peer-{id}"),
            plan: PingPlan {
                every: 30,
                timeout: 10,
                retries: 2,
                backoff: 30,
                backoff_max: 120,
            },
            phase: Some(PingPhase {
                due: at(due),
                ..PingPhase::default()
            }),
            statistics: PingStatistics::default(),
        }
    }

    fn open(peers: Vec<Watched>) -> Machine {
        let mut machine = Machine::default();
        let mut out = Outputs::default();
        machine.handle(ToPinger::Watch(peers), at(0), &mut out);
        assert_eq!(
            machine.next_deadline(),
            None,
            "closed until all peers are named"
        );
        machine.handle(ToPinger::Ready {}, at(0), &mut out);
        machine
    }

    fn orders(machine: &mut Machine, now: Monotonic) -> Vec<(u64, u32)> {
        let mut out = Outputs::default();
        machine.tick(now, &mut out);
        out.orders
            .iter()
            .map(|order| (order.peer.0, order.seq))
            .collect()
    }

    fn result(peer: u64, seq: u32, outcome: PingOutcome) -> ToPinger {
        ToPinger::Results(vec![PingResult {
            peer: PeerId(peer),
            seq,
            outcome,
        }])
    }

    #[test]
    fn pings_go_out_when_due_and_one_at_a_time() {
        let mut machine = open(vec![watched(1, 5), watched(2, 3)]);
        assert_eq!(machine.next_deadline(), Some(at(3)));
        assert_eq!(orders(&mut machine, at(2)), []);
        assert_eq!(orders(&mut machine, at(5)), [(2, 1), (1, 1)]);
        assert_eq!(orders(&mut machine, at(500)), []);
        let mut out = Outputs::default();
        machine.handle(result(1, 1, PingOutcome::Reply(1.0)), at(6), &mut out);
        assert_eq!(machine.next_deadline(), Some(at(35)));
    }

    #[test]
    fn a_forgotten_peer_is_silent() {
        let mut machine = open(vec![watched(1, 5)]);
        orders(&mut machine, at(5));
        let mut out = Outputs::default();
        machine.handle(ToPinger::Forget(vec![PeerId(1)]), at(6), &mut out);
        machine.handle(result(1, 1, PingOutcome::Timeout), at(7), &mut out);
        assert!(out.verdicts.is_empty());
        assert_eq!(machine.next_deadline(), None);
    }

    #[test]
    fn a_reply_meant_for_an_earlier_adoption_is_not_credited() {
        let mut machine = open(vec![watched(1, 5)]);
        orders(&mut machine, at(5));
        let mut out = Outputs::default();
        machine.handle(ToPinger::Forget(vec![PeerId(1)]), at(6), &mut out);
        machine.handle(ToPinger::Watch(vec![watched(2, 7)]), at(6), &mut out);
        machine.handle(result(1, 1, PingOutcome::Reply(1.0)), at(7), &mut out);
        assert_eq!(machine.hand_over()[0].statistics.replies, 0);
    }

    #[test]
    fn a_restarted_pinger_goes_on_where_the_old_one_stopped() {
        let mut machine = open(vec![watched(1, 5), watched(2, 8)]);
        orders(&mut machine, at(5));
        let mut out = Outputs::default();
        machine.handle(result(1, 1, PingOutcome::Timeout), at(15), &mut out);
        assert_eq!(orders(&mut machine, at(15)), [(2, 1), (1, 2)]);
        // The old one is killed here; core has its figures and both pings under way.
        let mut restored: Vec<Watched> = Vec::new();
        for (known, id) in machine.hand_over().into_iter().zip([1, 2]) {
            let fresh = watched(id, 0);
            assert_eq!(known.name, fresh.name);
            let statistics = known.statistics;
            restored.push(Watched {
                phase: Some(known.phase),
                statistics,
                ..fresh
            });
        }
        let mut machine = open(restored);
        assert_eq!(
            orders(&mut machine, at(20)),
            [],
            "both are under way already"
        );
        let mut out = Outputs::default();
        machine.handle(result(1, 2, PingOutcome::Timeout), at(25), &mut out);
        let meanings: Vec<Meaning> = out.verdicts.iter().map(|v| v.meaning).collect();
        assert_eq!(
            meanings,
            [
                Meaning::Missed { attempt: 2, of: 2 },
                Meaning::Unreachable { rounds: 1 }
            ]
        );
        assert_eq!(machine.hand_over()[0].statistics.lost, 2);
    }

    #[test]
    fn after_a_server_outage_the_overdue_are_spread_and_pings_under_way_are_void() {
        let mut machine = open(vec![watched(1, 5), watched(2, 6), watched(3, 900)]);
        orders(&mut machine, at(5));
        let mut out = Outputs::default();
        machine.handle(ToPinger::Suspend {}, at(6), &mut out);
        assert_eq!(machine.next_deadline(), None);
        assert_eq!(orders(&mut machine, at(100)), []);
        machine.handle(ToPinger::Proceed {}, at(100), &mut out);
        machine.tick(at(100), &mut out);
        let dues: Vec<(u64, Monotonic)> = out.orders.iter().map(|o| (o.peer.0, o.due)).collect();
        assert_eq!(dues, [(1, at(100)), (2, at(100) + CATCH_UP_SPACING)]);
        assert_eq!(machine.next_deadline(), Some(at(900)));
    }

    #[test]
    fn messages_about_unknown_peers_are_answered_with_an_error() {
        let mut machine = open(vec![]);
        let mut out = Outputs::default();
        machine.handle(ToPinger::CheckNow(vec![PeerId(9)]), at(0), &mut out);
        assert_eq!(out.errors, ["peer number 9 is not watched"]);
    }

    proptest! {
        /// Whatever happens in whatever order: never two pings of one peer under way, never a ping
        /// number used twice, and no peer forgotten by its schedule.
        #[test]
        fn the_invariants_hold_under_any_sequence(
            steps in proptest::collection::vec((0u8..8, 1u64..4, 0u64..20), 1..120)
        ) {
            let mut machine = open(vec![watched(1, 1), watched(2, 2), watched(3, 3)]);
            let mut now = at(0);
            let mut in_flight: HashMap<u64, u32> = HashMap::new();
            let mut used: HashSet<(u64, u32)> = HashSet::new();
            for (step, peer, wait) in steps {
                now = now + Duration::from_secs(wait);
                let mut out = Outputs::default();
                let seq = in_flight.get(&peer).copied().unwrap_or(0);
                match step {
                    0 => machine.handle(result(peer, seq, PingOutcome::Reply(1.0)), now, &mut out),
                    1 => machine.handle(result(peer, seq, PingOutcome::Timeout), now, &mut out),
                    2 => machine.handle(result(peer, seq, PingOutcome::Failed), now, &mut out),
                    3 => machine.handle(ToPinger::Sabotage(PeerId(peer)), now, &mut out),
                    4 => machine.handle(ToPinger::CheckNow(vec![PeerId(peer)]), now, &mut out),
                    5 => {
                        let plan = PingPlan { every: 1 + u32::from(step), ..watched(1, 0).plan };
                        let changed = Watched { plan, phase: None, ..watched(peer, 0) };
                        machine.handle(ToPinger::Watch(vec![changed]), now, &mut out);
                    }
                    _ => {}
                }
                if step <= 2 {
                    in_flight.remove(&peer);
                }
                machine.tick(now, &mut out);
                for order in &out.orders {
                    prop_assert!(in_flight.insert(order.peer.0, order.seq).is_none());
                    prop_assert!(used.insert((order.peer.0, order.seq)));
                    prop_assert!(order.due <= now + AHEAD);
                }
                prop_assert!(machine.next_deadline().is_none_or(|deadline| deadline > now));
                let idle = 3 - in_flight.len();
                prop_assert_eq!(machine.next_deadline().is_some(), idle > 0);
            }
        }
    }
}
