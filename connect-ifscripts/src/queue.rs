// SPDX-License-Identifier: GPL-3.0-or-later
//! The order of the runs: each peer has two lanes, one run of a lane is under way at a time, and
//! the peers take turns in each of the two pools of places.
//!
//! Interface scripts never wait for connection commands, so each lane has a pool of its own. A
//! connection command waits for `ifup` and `ifdown` of its peer that were ordered before it. It
//! does not wait for hooks: one that hangs must not hold up a reconnection.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::scripts::{MAX_WAITING, ScriptKind};
use connect_ipc::setup::{ByLane, Lane, Pair};

/// The queues of all peers.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    peers: HashMap<Arc<str>, Peer>,
    pools: ByLane<Pool>,
    /// The lane of which a run was started last: the other one is next.
    last: Lane,
}

/// The places of one lane, over all peers.
#[derive(Clone, Debug)]
struct Pool {
    /// The peers that have something to start, the next one first. A peer that has nothing to start
    /// is not here.
    turns: BTreeMap<u64, Arc<str>>,
    /// The number of the next turn to be given.
    next_turn: u64,
    /// How many runs wait.
    waiting: usize,
    /// How many runs are under way.
    busy: usize,
    /// How many may be under way.
    bound: usize,
    /// True from the moment when all places are taken and a run could start otherwise, until no
    /// such run waits. A place that is free for a moment does not change it.
    full: bool,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    lanes: ByLane<PeerLane>,
    /// Each `ifup` and `ifdown` that waits or is under way.
    awaited: BTreeSet<RunId>,
}

#[derive(Clone, Debug, Default)]
struct PeerLane {
    /// The runs that wait, in the order of their numbers.
    waiting: VecDeque<RunId>,
    /// The runs under way: one, or more only if several were adopted.
    busy: Vec<RunId>,
    /// Its place in `Pool::turns`.
    turn: Option<u64>,
}

/// The queue of this peer is full.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Full;

impl Queues {
    pub(crate) fn new(bounds: ByLane<usize>) -> Self {
        Queues {
            peers: HashMap::new(),
            pools: ByLane {
                interface: Pool::new(bounds.interface),
                connection: Pool::new(bounds.connection),
            },
            last: Lane::Connection,
        }
    }

    /// Puts a run into its peer's queue, after those with smaller numbers.
    pub(crate) fn push(&mut self, peer: &str, kind: ScriptKind, run: RunId) -> Result<(), Full> {
        let lane = kind.lane();
        let (name, entry) = self.entry(peer);
        let waiting = &mut entry.lanes.get_mut(lane).waiting;
        if waiting.len() >= MAX_WAITING {
            return Err(Full);
        }
        waiting.insert(waiting.partition_point(|other| *other < run), run);
        entry.note_awaited(kind, run);
        self.pools.get_mut(lane).waiting += 1;
        self.refresh(&name);
        Ok(())
    }

    /// Counts a run of this peer as under way although it was not in the queue.
    pub(crate) fn hold(&mut self, peer: &str, kind: ScriptKind, run: RunId) {
        let lane = kind.lane();
        let (name, entry) = self.entry(peer);
        entry.lanes.get_mut(lane).busy.push(run);
        entry.note_awaited(kind, run);
        self.pools.get_mut(lane).busy += 1;
        self.refresh(&name);
    }

    /// Takes the run to be started next, which is under way from now on.
    pub(crate) fn take(&mut self) -> Option<RunId> {
        let order = match self.last {
            Lane::Interface => [Lane::Connection, Lane::Interface],
            Lane::Connection => [Lane::Interface, Lane::Connection],
        };
        order.into_iter().find_map(|lane| self.take_from(lane))
    }

    /// Whether [`Queues::take`] gives a run.
    pub(crate) fn has_turn(&self) -> bool {
        let has_turn = |lane| {
            let pool = self.pools.get(lane);
            pool.busy < pool.bound && !pool.turns.is_empty()
        };
        Lane::ALL.into_iter().any(has_turn)
    }

    /// How many runs are under way.
    pub(crate) const fn busy(&self) -> usize {
        self.pools.interface.busy + self.pools.connection.busy
    }

    /// How many runs wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.pools.interface.waiting + self.pools.connection.waiting
    }

    /// Whether runs of this lane wait only for a place: true from the moment when all places are
    /// taken and a run could start otherwise, until no such run waits. A place that is free for a
    /// moment does not change it, so it does not change with each run.
    pub(crate) const fn is_full(&self, lane: Lane) -> bool {
        self.pools.get(lane).full
    }

    /// The runs that wait in a peer's queue.
    pub(crate) fn waiting_of(&self, peer: &str, lane: Lane) -> impl Iterator<Item = RunId> {
        let waiting = self
            .peers
            .get(peer)
            .map(|peer| &peer.lanes.get(lane).waiting);
        waiting.into_iter().flatten().copied()
    }

    /// Counts a run of this peer as over.
    pub(crate) fn release(&mut self, peer: &str, lane: Lane, run: RunId) {
        let Some((name, entry)) = self.known(peer) else {
            return;
        };
        let busy = &mut entry.lanes.get_mut(lane).busy;
        if let Some(at) = busy.iter().position(|other| *other == run) {
            busy.swap_remove(at);
            entry.awaited.remove(&run);
            self.pools.get_mut(lane).busy -= 1;
        }
        self.refresh(&name);
    }

    /// Removes a waiting run from its queue. Returns whether it was there.
    pub(crate) fn remove(&mut self, peer: &str, lane: Lane, run: RunId) -> bool {
        let Some((name, entry)) = self.known(peer) else {
            return false;
        };
        let waiting = &mut entry.lanes.get_mut(lane).waiting;
        let Ok(at) = waiting.binary_search(&run) else {
            return false;
        };
        waiting.remove(at);
        entry.awaited.remove(&run);
        self.pools.get_mut(lane).waiting -= 1;
        self.refresh(&name);
        true
    }

    fn take_from(&mut self, lane: Lane) -> Option<RunId> {
        let pool = self.pools.get_mut(lane);
        if pool.busy >= pool.bound {
            return None;
        }
        let (_, name) = pool.turns.pop_first()?;
        let entry = self.peers.get_mut(&name)?.lanes.get_mut(lane);
        entry.turn = None;
        let run = entry.waiting.pop_front()?;
        entry.busy.push(run);
        pool.busy += 1;
        pool.waiting -= 1;
        self.last = lane;
        self.refresh(&name);
        Some(run)
    }

    fn entry(&mut self, peer: &str) -> (Arc<str>, &mut Peer) {
        let name = match self.peers.get_key_value(peer) {
            Some((name, _)) => Arc::clone(name),
            None => peer.into(),
        };
        let entry = self.peers.entry(Arc::clone(&name)).or_default();
        (name, entry)
    }

    fn known(&mut self, peer: &str) -> Option<(Arc<str>, &mut Peer)> {
        self.peers.contains_key(peer).then(|| self.entry(peer))
    }

    /// To be called after a peer's queues have changed. Gives the peer a turn, after all others, in
    /// each pool in which it has something to start; removes its turn where it has nothing to
    /// start; and forgets a peer without runs.
    fn refresh(&mut self, name: &Arc<str>) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        for lane in Lane::ALL {
            let startable = peer.is_startable(lane);
            let entry = peer.lanes.get_mut(lane);
            self.pools.get_mut(lane).give(name, entry, startable);
        }
        if Lane::ALL
            .iter()
            .all(|lane| peer.lanes.get(*lane).is_empty())
        {
            self.peers.remove(name);
        }
    }
}

impl Pool {
    const fn new(bound: usize) -> Self {
        Pool {
            turns: BTreeMap::new(),
            next_turn: 0,
            waiting: 0,
            busy: 0,
            bound,
            full: false,
        }
    }

    /// Gives a peer a turn if it can start something, or else removes its turn.
    fn give(&mut self, name: &Arc<str>, entry: &mut PeerLane, startable: bool) {
        match entry.turn {
            None if startable => {
                self.turns.insert(self.next_turn, Arc::clone(name));
                entry.turn = Some(self.next_turn);
                self.next_turn += 1;
            }
            Some(turn) if !startable => {
                self.turns.remove(&turn);
                entry.turn = None;
            }
            Some(_) | None => {}
        }
        if self.turns.is_empty() {
            self.full = false;
        } else if self.busy >= self.bound {
            self.full = true;
        }
    }
}

impl Peer {
    /// A run was queued or is under way: connection commands may have to wait for it.
    fn note_awaited(&mut self, kind: ScriptKind, run: RunId) {
        if kind.pair() == Pair::Interface {
            self.awaited.insert(run);
        }
    }

    /// Whether a run of this lane can start as soon as there is a place.
    fn is_startable(&self, lane: Lane) -> bool {
        let entry = self.lanes.get(lane);
        let Some(next) = entry.waiting.front().filter(|_| entry.busy.is_empty()) else {
            return false;
        };
        match lane {
            Lane::Interface => true,
            Lane::Connection => self.awaited.first().is_none_or(|first| first > next),
        }
    }
}

impl PeerLane {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I: Lane = Lane::Interface;
    const C: Lane = Lane::Connection;

    /// The script that a run of a lane is in these tests.
    const fn script(lane: Lane) -> ScriptKind {
        match lane {
            Lane::Interface => ScriptKind::Ifup,
            Lane::Connection => ScriptKind::Connect,
        }
    }

    fn queues(interface: usize, connection: usize) -> Queues {
        Queues::new(ByLane {
            interface,
            connection,
        })
    }

    fn next(queues: &mut Queues) -> Option<u64> {
        queues.take().map(|run| run.0)
    }

    fn push(queues: &mut Queues, lane: Lane, runs: &[(u64, &str)]) {
        for (run, peer) in runs {
            queues.push(peer, script(lane), RunId(*run)).unwrap();
        }
    }

    #[test]
    fn peers_take_turns_and_a_peer_never_has_two() {
        let mut queues = queues(10, 10);
        push(
            &mut queues,
            I,
            &[(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c")],
        );
        assert_eq!(next(&mut queues), Some(1));
        assert_eq!(next(&mut queues), Some(4));
        queues.release("a", I, RunId(1));
        assert_eq!(next(&mut queues), Some(5), "c has waited longer");
        assert_eq!(next(&mut queues), Some(2));
        assert_eq!(next(&mut queues), None);
        queues.release("b", I, RunId(4));
        queues.release("c", I, RunId(5));
        assert_eq!(next(&mut queues), None);
        queues.release("a", I, RunId(2));
        assert_eq!(next(&mut queues), Some(3));
        queues.release("a", I, RunId(3));
        assert!(queues.peers.is_empty(), "an idle peer costs nothing");
        assert_eq!((queues.busy(), queues.waiting()), (0, 0));
    }

    #[test]
    fn the_bound_holds_and_what_is_held_counts() {
        let mut queues = queues(2, 2);
        queues.hold("x", script(I), RunId(0));
        push(&mut queues, I, &[(1, "a"), (2, "b"), (3, "x")]);
        assert!(!queues.is_full(I));
        assert_eq!(next(&mut queues), Some(1));
        assert!(queues.is_full(I));
        assert!(!queues.is_full(C));
        assert_eq!(next(&mut queues), None);
        queues.release("x", I, RunId(0));
        assert!(queues.is_full(I), "a place that is taken at once");
        assert_eq!(next(&mut queues), Some(2));
        queues.release("a", I, RunId(1));
        assert_eq!(next(&mut queues), Some(3));
        assert!(!queues.is_full(I));
    }

    #[test]
    fn a_pool_that_is_full_holds_up_the_other_lane_of_no_peer() {
        let mut queues = queues(1, 2);
        push(&mut queues, C, &[(1, "a"), (2, "b"), (3, "c")]);
        push(&mut queues, I, &[(4, "a"), (5, "b")]);
        let started: Vec<_> = std::iter::from_fn(|| next(&mut queues)).collect();
        assert_eq!(started, [4, 1, 2], "the lanes take turns");
        assert!(queues.is_full(I) && queues.is_full(C));
        queues.release("a", I, RunId(4));
        assert_eq!(next(&mut queues), Some(5));
        assert_eq!(next(&mut queues), None);
    }

    #[test]
    fn a_connection_command_waits_for_the_interface_scripts_ordered_before_it() {
        let mut queues = queues(9, 9);
        push(&mut queues, I, &[(1, "a"), (2, "a"), (4, "a")]);
        push(&mut queues, C, &[(3, "a"), (5, "a"), (6, "b")]);
        assert_eq!(next(&mut queues), Some(1));
        assert_eq!(next(&mut queues), Some(6));
        assert_eq!(next(&mut queues), None);
        queues.release("a", I, RunId(1));
        assert_eq!(next(&mut queues), Some(2));
        queues.release("a", I, RunId(2));
        assert_eq!(next(&mut queues), Some(3), "4 was ordered after it");
        assert_eq!(next(&mut queues), Some(4));
        queues.release("a", C, RunId(3));
        assert_eq!(next(&mut queues), None, "4 is under way");
        queues.release("a", I, RunId(4));
        assert_eq!(next(&mut queues), Some(5));
    }

    #[test]
    fn hooks_take_turns_with_interface_scripts_and_no_connection_command_waits_for_them() {
        let mut queues = queues(9, 9);
        push(&mut queues, I, &[(1, "a")]);
        queues.push("a", ScriptKind::OnUp, RunId(2)).unwrap();
        push(&mut queues, C, &[(3, "a")]);
        queues.push("a", ScriptKind::OnDown, RunId(4)).unwrap();
        queues.push("a", ScriptKind::Ifdown, RunId(5)).unwrap();
        push(&mut queues, C, &[(6, "a")]);
        assert_eq!(next(&mut queues), Some(1));
        assert_eq!(next(&mut queues), None, "3 waits for 1");
        queues.release("a", I, RunId(1));
        assert_eq!(next(&mut queues), Some(3), "2 is a hook");
        assert_eq!(next(&mut queues), Some(2));
        queues.release("a", C, RunId(3));
        assert_eq!(
            next(&mut queues),
            None,
            "6 waits for 5, and 5 for the hooks"
        );
        queues.release("a", I, RunId(2));
        assert_eq!(next(&mut queues), Some(4));
        queues.release("a", I, RunId(4));
        assert_eq!(next(&mut queues), Some(5));
        queues.release("a", I, RunId(5));
        assert_eq!(next(&mut queues), Some(6));
        queues.release("a", C, RunId(6));
        assert!(queues.peers.is_empty());
    }

    #[test]
    fn a_connection_command_starts_when_the_script_before_it_is_taken_off() {
        let mut queues = queues(1, 1);
        queues.hold("x", script(I), RunId(0));
        push(&mut queues, I, &[(1, "a")]);
        push(&mut queues, C, &[(2, "a")]);
        assert_eq!(next(&mut queues), None);
        assert!(queues.is_full(I));
        assert!(queues.remove("a", I, RunId(1)));
        assert!(!queues.is_full(I), "none waits for a place any more");
        assert_eq!(next(&mut queues), Some(2));
    }

    #[test]
    fn a_run_taken_off_leaves_the_others_in_order() {
        let mut queues = queues(2, 2);
        // A run that is queued again gets its old place.
        push(&mut queues, I, &[(1, "a"), (3, "a"), (2, "a")]);
        assert_eq!(queues.waiting_of("a", I).count(), 3);
        assert!(queues.remove("a", I, RunId(2)));
        assert!(!queues.remove("a", I, RunId(2)));
        assert!(!queues.remove("a", C, RunId(1)));
        assert!(!queues.remove("b", I, RunId(1)));
        assert_eq!(next(&mut queues), Some(1));
        queues.release("a", I, RunId(1));
        assert_eq!(next(&mut queues), Some(3));
    }

    #[test]
    fn a_queue_is_bounded() {
        let mut queues = queues(1, 1);
        for number in 0..MAX_WAITING as u64 {
            queues.push("a", script(I), RunId(number)).unwrap();
        }
        assert_eq!(queues.push("a", script(I), RunId(9_999)), Err(Full));
        assert_eq!(queues.push("a", script(C), RunId(9_999)), Ok(()));
        assert_eq!(queues.push("b", script(I), RunId(9_999)), Ok(()));
        assert_eq!(queues.waiting(), MAX_WAITING + 2);
    }
}
