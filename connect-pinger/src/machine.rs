// SPDX-License-Identifier: GPL-3.0-or-later
//! All watched peers and when each is pinged next, as a state machine without I/O: what happens
//! goes in as [`Input`], what is to be done comes out as [`Output`].
//!
//! The rules by which a peer is checked are those of `connect_liveness`, which core follows as
//! well.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::ITEMS_PER_FRAME;
use connect_ipc::pinger::{FromPinger, PingOrder, Remembered, ToPinger, Watched};
use connect_liveness::{CatchUp, Liveness};
use foldhash::{HashMap, HashMapExt as _};
use serde::{Deserialize, Serialize};

/// How far ahead all pings are ordered, so that ten wake-ups a second are enough for any number of
/// peers: a tenth of the shortest period. Core sends each when it is due.
const AHEAD: Duration = Duration::from_millis(100);

/// How many pings are worth a wake-up. If fewer are due within [`AHEAD`], some that are due later
/// are ordered with them, each no further ahead than its [`Liveness::leeway`]. No more than these
/// wait in core: if core stands still, it sends all of them at once when it goes on.
const MANY: usize = 16;

/// How long before a ping is due it is ordered at the latest: far longer than the order takes, even
/// on a busy machine.
const MARGIN: Duration = Duration::from_millis(20);

/// A check that is later than this was not ordered because the pinger, core or the host was
/// suspended. Load alone does not cause such a delay.
const LATE: Duration = Duration::from_secs(1);

/// How many outdated deadlines are kept, in addition to one deadline for each peer, before all
/// outdated ones are removed. So each change costs little, and memory stays bounded however often a
/// peer changes.
const STALE: usize = 1_024;

/// What can happen to the pinger.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// A connection to a core is made, and the hellos are exchanged.
    CoreConnected {},
    /// Core has sent a message.
    Core(ToPinger),
    /// Core has sent something that is not a message; this is what is wrong with it.
    Malformed(String),
    /// The connection to core is lost.
    CoreLost {},
    /// Time has passed, or everything that had arrived is handled.
    Time {},
}

/// What the pinger is to do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Send core this message.
    ToCore(FromPinger),
}

/// When the machine may order pings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gate {
    /// Core has not named all peers yet, or the connection to it is lost.
    Waiting,
    /// The connection to the tripe server is lost.
    Suspended,
    /// Pings can be sent.
    Open,
}

/// One watched peer.
#[derive(Debug)]
struct Peer {
    name: Box<str>,
    liveness: Liveness,
}

/// The whole table.
#[derive(Debug)]
pub struct Machine {
    /// Each peer has an allocation of its own, since often more than a third of the places are
    /// free.
    peers: HashMap<PeerId, Box<Peer>>,
    /// Deadlines, the earliest first. An entry is valid only if it is still the peer's deadline.
    /// The others are outdated: they are skipped, and removed if there are many.
    deadlines: BinaryHeap<Reverse<(Monotonic, PeerId)>>,
    gate: Gate,
    /// Whether core has sent something since pings were last ordered.
    woken: bool,
    /// When the pings are due that were ordered further ahead than [`AHEAD`].
    ahead: Vec<Monotonic>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            peers: HashMap::new(),
            deadlines: BinaryHeap::new(),
            gate: Gate::Waiting,
            woken: false,
            ahead: Vec::new(),
        }
    }
}

impl Machine {
    /// How many peers are watched.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Takes what has happened at `now` and appends what is to be done.
    pub fn handle(&mut self, input: Input, now: Monotonic, out: &mut Vec<Output>) {
        match input {
            Input::CoreConnected {} => self.hand_over(out),
            Input::Core(message) => {
                self.woken = true;
                self.message(message, now, out);
            }
            Input::Malformed(fault) => out.push(Output::ToCore(FromPinger::Error(fault))),
            // Everything is kept for the next core.
            Input::CoreLost {} => self.gate = Gate::Waiting,
            Input::Time {} => self.order_pings(now, out),
        }
        if self.deadlines.len() > 2 * self.peers.len() + STALE {
            self.forget_stale();
        }
    }

    /// When [`Input::Time`] leads to something next, unless something else happens before.
    pub fn next_deadline(&mut self) -> Option<Monotonic> {
        self.earliest().map(|(due, _)| due.before(MARGIN))
    }

    /// Sends a new core what is known, and starts with an empty table.
    fn hand_over(&mut self, out: &mut Vec<Output>) {
        self.gate = Gate::Waiting;
        self.deadlines.clear();
        self.ahead.clear();
        let mut peers: Vec<(PeerId, Box<Peer>)> = self.peers.drain().collect();
        peers.sort_unstable_by_key(|(id, _)| *id);
        let known = peers.into_iter().map(|(_, peer)| Remembered {
            name: peer.name.into(),
            phase: *peer.liveness.phase(),
            statistics: *peer.liveness.statistics(),
        });
        let known: Vec<Remembered> = known.collect();
        let lists = known.chunks(ITEMS_PER_FRAME).map(<[_]>::to_vec);
        // The empty list says that there are no more.
        let lists = lists.chain([Vec::new()]);
        out.extend(lists.map(|list| Output::ToCore(FromPinger::Resume(list))));
    }

    /// Removes outdated deadlines, and duplicates.
    fn forget_stale(&mut self) {
        let peers = self.peers.iter();
        self.deadlines = peers
            .filter_map(|(id, peer)| Some(Reverse((peer.liveness.deadline()?, *id))))
            .collect();
    }

    fn message(&mut self, message: ToPinger, now: Monotonic, out: &mut Vec<Output>) {
        match message {
            ToPinger::Watch { at, peers } => {
                for watched in peers {
                    self.watch(watched, at.min(now));
                }
            }
            ToPinger::Ready {} => self.gate = Gate::Open,
            ToPinger::Forget(peers) => {
                for peer in peers {
                    self.peers.remove(&peer);
                }
            }
            ToPinger::Results { at, ended } => {
                let then = at.min(now);
                for result in ended {
                    // If the peer was forgotten meanwhile, its result is not needed.
                    if let Some(peer) = self.peers.get_mut(&result.peer) {
                        let (id, seq, result) = (result.peer, result.seq, result.result);
                        peer.liveness.result(id, seq, result, then);
                        schedule(&mut self.deadlines, id, &peer.liveness);
                    }
                }
            }
            ToPinger::CheckNow { at, peers } => {
                for id in peers {
                    self.change(id, out, |peer| peer.check_now(at.min(now)));
                }
            }
            ToPinger::Sabotage { at, peer } => {
                self.change(peer, out, |peer| peer.sabotage(at.min(now)));
            }
            ToPinger::Suspend {} => self.gate = Gate::Suspended,
            ToPinger::Proceed { at } => self.proceed(at.min(now), out),
            // Core refuses something that we sent; the link has logged it.
            ToPinger::Error(_) => {}
        }
    }

    fn watch(&mut self, watched: Watched, now: Monotonic) {
        let id = watched.peer;
        // An earlier pinger has ordered it.
        let ordered = watched.phase.filter(|phase| phase.in_flight.is_some());
        let due = ordered
            .map(|phase| phase.due)
            .filter(|due| *due > now + AHEAD);
        self.ahead.extend(due);
        let peer = match (self.peers.get_mut(&id), watched.phase) {
            (Some(peer), None) => {
                peer.liveness.replan(watched.plan, now);
                peer
            }
            (_, phase) => {
                let liveness = match phase {
                    Some(phase) => Liveness::standing(watched.plan, phase, watched.statistics),
                    None => Liveness::starting(watched.plan, now),
                };
                let name = watched.name.into();
                let peer = Box::new(Peer { name, liveness });
                self.peers.entry(id).insert_entry(peer).into_mut()
            }
        };
        schedule(&mut self.deadlines, id, &peer.liveness);
    }

    fn change(&mut self, id: PeerId, out: &mut Vec<Output>, change: impl FnOnce(&mut Liveness)) {
        match self.peers.get_mut(&id) {
            Some(peer) => {
                change(&mut peer.liveness);
                schedule(&mut self.deadlines, id, &peer.liveness);
            }
            None => {
                let fault = format!("peer number {} is not watched", id.0);
                out.push(Output::ToCore(FromPinger::Error(fault)));
            }
        }
    }

    /// The server is back. Core has done the same to its own copies.
    fn proceed(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        self.gate = Gate::Open;
        // Core has dropped all orders.
        self.ahead.clear();
        out.push(Output::ToCore(FromPinger::Proceeding {}));
        let mut ids: Vec<PeerId> = self.peers.keys().copied().collect();
        ids.sort_unstable();
        let mut catch_up = CatchUp::new(now);
        for id in ids {
            if let Some(peer) = self.peers.get_mut(&id)
                && peer.liveness.catch_up(&mut catch_up)
            {
                schedule(&mut self.deadlines, id, &peer.liveness);
            }
        }
    }

    /// If a ping must be ordered now, or soon and the process is awake anyway, orders all that are
    /// due soon, so that many go into one message.
    fn order_pings(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        let woken = std::mem::take(&mut self.woken);
        let Some((due, leeway)) = self.earliest() else {
            return;
        };
        let soon = if woken { leeway / 2 } else { MARGIN };
        if due > now + soon.max(MARGIN) {
            return;
        }
        self.ahead.retain(|due| *due > now);
        let (mut orders, mut late) = (Vec::new(), Vec::new());
        // What became due while the machine was suspended must not be sent all at once.
        let mut catch_up = CatchUp::new(now);
        while let Some(Reverse((deadline, id))) = self.deadlines.peek().copied() {
            let peer = self.peers.get_mut(&id);
            let Some(peer) = peer.filter(|it| it.liveness.deadline() == Some(deadline)) else {
                // Outdated.
                self.deadlines.pop();
                continue;
            };
            let is_ahead = deadline > now + AHEAD;
            let is_wanted = orders.len() < MANY && self.ahead.len() < MANY;
            if is_ahead && !(is_wanted && deadline <= now + peer.liveness.leeway()) {
                break;
            }
            self.deadlines.pop();
            let seq = peer.liveness.next_seq();
            let (due, list) = if deadline + LATE < now {
                (catch_up.instant(), &mut late)
            } else {
                (deadline, &mut orders)
            };
            if peer.liveness.begin(seq, due) {
                self.ahead.extend(is_ahead.then_some(due));
                let peer = id;
                list.push(PingOrder { peer, seq, due });
            }
        }
        tell(late, FromPinger::Late, out);
        tell(orders, FromPinger::Ping, out);
    }

    /// When the next ping is due that may be ordered, and how far ahead.
    fn earliest(&mut self) -> Option<(Monotonic, Duration)> {
        if self.gate != Gate::Open {
            return None;
        }
        // Outdated entries would only wake us for nothing.
        while let Some(Reverse((deadline, id))) = self.deadlines.peek().copied() {
            let peer = self.peers.get(&id);
            if let Some(peer) = peer.filter(|it| it.liveness.deadline() == Some(deadline)) {
                return Some((deadline, peer.liveness.leeway()));
            }
            self.deadlines.pop();
        }
        None
    }
}

/// Tells core of these orders.
fn tell(orders: Vec<PingOrder>, all: fn(Vec<PingOrder>) -> FromPinger, out: &mut Vec<Output>) {
    if orders.len() > ITEMS_PER_FRAME {
        let lists = orders.chunks(ITEMS_PER_FRAME).map(<[_]>::to_vec);
        out.extend(lists.map(|list| Output::ToCore(all(list))));
    } else if !orders.is_empty() {
        // The usual case does without a copy.
        out.push(Output::ToCore(all(orders)));
    }
}

fn schedule(deadlines: &mut BinaryHeap<Reverse<(Monotonic, PeerId)>>, id: PeerId, peer: &Liveness) {
    if let Some(deadline) = peer.deadline() {
        deadlines.push(Reverse((deadline, id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::pinger::{EndedPing, PingPhase, PingPlan, PingResult};
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

    /// Gives the machine a message of core and returns what it tells core.
    fn hear(machine: &mut Machine, message: ToPinger, now: Monotonic) -> Vec<FromPinger> {
        give(machine, Input::Core(message), now)
    }

    fn give(machine: &mut Machine, input: Input, now: Monotonic) -> Vec<FromPinger> {
        let mut out = Vec::new();
        machine.handle(input, now, &mut out);
        let told = out.into_iter().map(|Output::ToCore(message)| message);
        told.collect()
    }

    fn open(peers: Vec<Watched>) -> Machine {
        let mut machine = Machine::default();
        hear(&mut machine, watch(peers), at(0));
        let deadline = machine.next_deadline();
        assert_eq!(deadline, None, "closed until all peers are named");
        hear(&mut machine, ToPinger::Ready {}, at(0));
        machine
    }

    /// The pings ordered at `now`, if time alone wakes the process.
    fn ordered(machine: &mut Machine, now: Monotonic) -> Vec<PingOrder> {
        machine.woken = false;
        let told = give(machine, Input::Time {}, now);
        let lists = told.into_iter().map(|message| match message {
            FromPinger::Ping(orders) | FromPinger::Late(orders) => orders,
            other => panic!("not an order: {other:?}"),
        });
        lists.flatten().collect()
    }

    fn orders(machine: &mut Machine, now: Monotonic) -> Vec<(u64, u32)> {
        let orders = ordered(machine, now);
        orders
            .iter()
            .map(|order| (order.peer.0, order.seq))
            .collect()
    }

    /// What a new core is told.
    fn handed_over(machine: &mut Machine) -> Vec<Remembered> {
        let told = give(machine, Input::CoreConnected {}, at(0));
        assert_eq!(told.last(), Some(&FromPinger::Resume(Vec::new())));
        let lists = told.into_iter().map(|message| match message {
            FromPinger::Resume(list) => list,
            other => panic!("not what is known: {other:?}"),
        });
        lists.flatten().collect()
    }

    /// The end of a ping, of which the pinger hears at once.
    fn result(peer: u64, seq: u32, result: PingResult) -> ToPinger {
        result_at(Monotonic(u64::MAX), peer, seq, result)
    }

    fn result_at(at: Monotonic, peer: u64, seq: u32, result: PingResult) -> ToPinger {
        let peer = PeerId(peer);
        let ended = vec![EndedPing { peer, seq, result }];
        ToPinger::Results { at, ended }
    }

    /// The same for peers to be watched.
    fn watch(peers: Vec<Watched>) -> ToPinger {
        let at = Monotonic(u64::MAX);
        ToPinger::Watch { at, peers }
    }

    fn check_now(at: Monotonic, peer: u64) -> ToPinger {
        let peers = vec![PeerId(peer)];
        ToPinger::CheckNow { at, peers }
    }

    #[test]
    fn a_check_requested_while_the_pinger_is_suspended_is_due_since_it_was_requested() {
        for is_sabotage in [false, true] {
            let mut machine = open(vec![watched(1, 50)]);
            let (at_11, peer) = (at(11), PeerId(1));
            let request = match is_sabotage {
                false => check_now(at_11, 1),
                true => ToPinger::Sabotage { at: at_11, peer },
            };
            hear(&mut machine, request, at(40));
            assert_eq!(machine.earliest().map(|(due, _)| due), Some(at_11));
        }
    }

    #[test]
    fn what_is_heard_late_leads_to_the_same_deadlines() {
        for (result, due) in [(PingResult::Reply(1.0), 35), (PingResult::Timeout, 15)] {
            let mut machine = open(vec![watched(1, 5)]);
            orders(&mut machine, at(5));
            // The pinger was suspended meanwhile.
            hear(&mut machine, result_at(at(15), 1, 1, result), at(100));
            let deadline = machine.earliest().map(|(due, _)| due);
            assert_eq!(deadline, Some(at(due)), "{result:?}");
        }
    }

    #[test]
    fn pings_go_out_when_due_and_one_at_a_time() {
        let mut machine = open(vec![watched(1, 5), watched(2, 3)]);
        assert_eq!(machine.next_deadline(), Some(at(3).before(MARGIN)));
        assert_eq!(orders(&mut machine, at(2)), []);
        assert_eq!(orders(&mut machine, at(5)), [(2, 1), (1, 1)]);
        assert_eq!(orders(&mut machine, at(500)), []);
        let reply = result(1, 1, PingResult::Reply(1.0));
        assert_eq!(hear(&mut machine, reply, at(6)), []);
        assert_eq!(machine.next_deadline(), Some(at(35).before(MARGIN)));
    }

    #[test]
    fn what_is_due_soon_is_ordered_together() {
        let mut machine = open(vec![watched(1, 5), watched(2, 19), watched(3, 20)]);
        let margin = at(5).before(MARGIN);
        assert_eq!(
            orders(&mut machine, margin.before(Duration::from_nanos(1))),
            []
        );
        assert_eq!(orders(&mut machine, margin), [(1, 1), (2, 1)]);
    }

    #[test]
    fn many_are_not_ordered_as_far_ahead_as_few() {
        let due = |id| 5 + id / 4;
        let mut machine = open((0..40).map(|id| watched(id, due(id))).collect());
        assert_eq!(orders(&mut machine, at(5)).len(), MANY);
        let mut machine = open((0..40).map(|id| watched(id, due(id / 10))).collect());
        assert_eq!(orders(&mut machine, at(5)).len(), 40, "all are due now");
    }

    #[test]
    fn no_more_than_so_many_wait_in_core_for_their_time() {
        let mut machine = open((0..40).map(|id| watched(id, 14)).collect());
        let many = |id: u64| (id, 1);
        assert_eq!(orders(&mut machine, at(5)), [], "none is due soon");
        hear(&mut machine, watch(vec![watched(50, 5)]), at(5));
        let first: Vec<_> = [50].into_iter().chain(0..15).map(many).collect();
        assert_eq!(orders(&mut machine, at(5)), first);
        hear(&mut machine, watch(vec![watched(51, 6)]), at(6));
        assert_eq!(orders(&mut machine, at(6)), [(51, 1), (15, 1)]);
        hear(&mut machine, watch(vec![watched(52, 7)]), at(7));
        assert_eq!(orders(&mut machine, at(7)), [(52, 1)], "16 wait");
        assert_eq!(orders(&mut machine, at(14)).len(), 24, "all are due now");
    }

    #[test]
    fn a_deadline_that_is_outdated_hides_none_behind_it() {
        let mut machine = open(vec![watched(1, 5), watched(2, 12), watched(3, 14)]);
        hear(&mut machine, check_now(at(1), 2), at(1));
        assert_eq!(orders(&mut machine, at(1)), [(2, 1), (1, 1), (3, 1)]);
    }

    #[test]
    fn a_peer_that_is_down_is_not_ordered_far_ahead() {
        let down = |id, due| {
            let mut watched = watched(id, due);
            watched.phase.as_mut().unwrap().failed_checks = 1;
            watched
        };
        let mut machine = open(vec![watched(1, 5), down(2, 6), watched(3, 7)]);
        assert_eq!(orders(&mut machine, at(5)), [(1, 1)]);
    }

    #[test]
    fn a_process_that_is_awake_orders_what_would_wake_it_soon() {
        let mut machine = open(vec![watched(1, 5), watched(2, 12), watched(3, 40)]);
        let told = give(&mut machine, Input::Time {}, at(0));
        assert!(matches!(&told[..], [FromPinger::Ping(orders)] if orders.len() == 2));
        assert_eq!(give(&mut machine, Input::Time {}, at(30)), [], "not woken");
        hear(&mut machine, result(1, 1, PingResult::Reply(1.0)), at(30));
        let told = give(&mut machine, Input::Time {}, at(33));
        assert!(matches!(&told[..], [FromPinger::Ping(orders)] if orders.len() == 2));
    }

    #[test]
    fn what_fell_due_in_a_standstill_is_spread() {
        let mut machine = open((0..3).map(|id| watched(id, 5 + id)).collect());
        let due: Vec<Monotonic> = ordered(&mut machine, at(7))
            .iter()
            .map(|order| order.due)
            .collect();
        let millisecond = Duration::from_millis(1);
        // The last is on time, and stays where it is.
        assert_eq!(due, [at(7), at(6), at(7)]);
        let mut machine = open((0..3).map(|id| watched(id, 5)).collect());
        let due: Vec<Monotonic> = ordered(&mut machine, at(60))
            .iter()
            .map(|order| order.due)
            .collect();
        let expected = [at(60), at(60) + millisecond, at(60) + 2 * millisecond];
        assert_eq!(due, expected);
    }

    #[test]
    fn a_forgotten_peer_is_silent() {
        let mut machine = open(vec![watched(1, 5)]);
        orders(&mut machine, at(5));
        hear(&mut machine, ToPinger::Forget(vec![PeerId(1)]), at(6));
        let late = result(1, 1, PingResult::Timeout);
        assert_eq!(hear(&mut machine, late, at(7)), []);
        assert_eq!(machine.next_deadline(), None);
    }

    #[test]
    fn a_reply_meant_for_an_earlier_adoption_is_not_credited() {
        let mut machine = open(vec![watched(1, 5)]);
        orders(&mut machine, at(5));
        hear(&mut machine, ToPinger::Forget(vec![PeerId(1)]), at(6));
        hear(&mut machine, watch(vec![watched(2, 7)]), at(6));
        hear(&mut machine, result(1, 1, PingResult::Reply(1.0)), at(7));
        assert_eq!(handed_over(&mut machine)[0].statistics.replies, 0);
    }

    #[test]
    fn a_restarted_pinger_goes_on_where_the_old_one_stopped() {
        let mut machine = open(vec![watched(1, 5), watched(2, 8)]);
        orders(&mut machine, at(5));
        hear(&mut machine, result(1, 1, PingResult::Timeout), at(15));
        assert_eq!(orders(&mut machine, at(15)), [(1, 2)]);
        // The old pinger is killed here; core has its figures and both pings that are under way.
        let mut restored: Vec<Watched> = Vec::new();
        for (known, id) in handed_over(&mut machine).into_iter().zip([1, 2]) {
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
        let again = orders(&mut machine, at(20));
        assert_eq!(again, [], "both are in flight already");
        hear(&mut machine, result(1, 2, PingResult::Timeout), at(25));
        let known = &handed_over(&mut machine)[0];
        assert_eq!((known.phase.failures, known.phase.failed_checks), (2, 1));
        assert_eq!(known.statistics.lost, 2);
    }

    #[test]
    fn after_a_server_outage_the_overdue_are_spread_and_pings_under_way_are_void() {
        let mut machine = open(vec![watched(1, 5), watched(2, 6), watched(3, 900)]);
        orders(&mut machine, at(5));
        hear(&mut machine, ToPinger::Suspend {}, at(6));
        assert_eq!(machine.next_deadline(), None);
        assert_eq!(orders(&mut machine, at(100)), []);
        let told = hear(&mut machine, ToPinger::Proceed { at: at(100) }, at(100));
        assert_eq!(told, [FromPinger::Proceeding {}]);
        let orders = ordered(&mut machine, at(100));
        let dues: Vec<_> = orders.iter().map(|o| (o.peer.0, o.seq, o.due)).collect();
        let next = at(100) + Duration::from_millis(1);
        assert_eq!(dues, [(1, 2, at(100)), (2, 2, next)]);
        assert_eq!(machine.next_deadline(), Some(at(900).before(MARGIN)));
    }

    #[test]
    fn peers_that_change_again_and_again_take_no_more_memory() {
        let peers = 3;
        let mut machine = open((0..peers).map(|id| watched(id, 5)).collect());
        for change in 0..100_000 {
            let id = change % peers;
            // Each is later than the one before, so none is skipped because its time has passed.
            let due = 10 + change;
            let message = match change % 3 {
                0 => watch(vec![watched(id, due)]),
                1 => check_now(at(5), id),
                _ => {
                    let phase = None;
                    let changed = Watched {
                        phase,
                        ..watched(id, 0)
                    };
                    watch(vec![changed])
                }
            };
            hear(&mut machine, message, at(5));
            let most = 2 * machine.peers() + STALE;
            assert!(machine.deadlines.len() <= most, "after {change} changes");
        }
        // None of them is forgotten.
        let ordered: HashSet<u64> = orders(&mut machine, at(1_000_000))
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        assert_eq!(ordered.len(), 3);
    }

    #[test]
    fn messages_about_unknown_peers_are_answered_with_an_error() {
        let mut machine = open(vec![]);
        let error = |text: &str| [FromPinger::Error(text.to_owned())];
        let told = hear(&mut machine, check_now(at(0), 9), at(0));
        assert_eq!(told, error("peer number 9 is not watched"));
        let told = give(&mut machine, Input::Malformed("no JSON".into()), at(0));
        assert_eq!(told, error("no JSON"));
    }

    #[test]
    fn long_lists_go_out_in_several_messages() {
        let count = ITEMS_PER_FRAME as u64 + 1;
        let mut machine = open((0..count).map(|id| watched(id, 1)).collect());
        let lengths = |told: Vec<FromPinger>| {
            let lengths = told.into_iter().map(|message| match message {
                FromPinger::Ping(orders) | FromPinger::Late(orders) => orders.len(),
                FromPinger::Resume(known) => known.len(),
                other => panic!("{other:?}"),
            });
            lengths.collect::<Vec<_>>()
        };
        let told = give(&mut machine, Input::Time {}, at(1));
        assert_eq!(lengths(told), [ITEMS_PER_FRAME, 1]);
        let told = give(&mut machine, Input::CoreConnected {}, at(1));
        assert_eq!(lengths(told), [ITEMS_PER_FRAME, 1, 0]);
    }

    proptest! {
        /// Whatever happens, in any order: a peer never has two pings under way, a ping number is
        /// never used twice, and no peer is left without its next ping.
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
                let seq = in_flight.get(&peer).copied().unwrap_or(0);
                let end = |ended| Some(result(peer, seq, ended));
                let message = match step {
                    0 => end(PingResult::Reply(1.0)),
                    1 => end(PingResult::Timeout),
                    2 => end(PingResult::Failed),
                    3 => Some(ToPinger::Sabotage { at: now, peer: PeerId(peer) }),
                    4 => Some(check_now(now, peer)),
                    5 => {
                        let plan = PingPlan { every: 1 + u32::from(step), ..watched(1, 0).plan };
                        let changed = Watched { plan, phase: None, ..watched(peer, 0) };
                        Some(watch(vec![changed]))
                    }
                    _ => None,
                };
                if let Some(message) = message {
                    prop_assert_eq!(hear(&mut machine, message, now), []);
                }
                if step <= 2 {
                    in_flight.remove(&peer);
                }
                for order in ordered(&mut machine, now) {
                    prop_assert!(in_flight.insert(order.peer.0, order.seq).is_none());
                    prop_assert!(used.insert((order.peer.0, order.seq)));
                    prop_assert!(order.due <= now + Duration::from_secs(15));
                }
                prop_assert!(machine.next_deadline().is_none_or(|deadline| deadline > now));
                let idle = 3 - in_flight.len();
                prop_assert_eq!(machine.next_deadline().is_some(), idle > 0);
            }
        }
    }
}
