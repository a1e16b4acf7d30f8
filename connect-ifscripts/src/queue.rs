// SPDX-License-Identifier: GPL-3.0-or-later
//! The order of the runs: one queue for each peer, one run of a peer at a time, and peers in turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use connect_ipc::RunId;
use connect_ipc::scripts::Run;

/// How many runs of one peer may wait. A peer gets that far behind only when one of its scripts
/// hangs while the peer comes and goes; a longer queue would only cost memory.
pub(crate) const MAX_WAITING: usize = 1_000;

/// The queues of all peers.
#[derive(Debug)]
pub(crate) struct Queues {
    peers: HashMap<Arc<str>, Peer>,
    /// The peers that may have something to start, the next one first. Each is here at most once
    /// (`Peer::listed`); whether it can start is checked when its turn comes.
    turns: VecDeque<Arc<str>>,
    /// How many runs are under way.
    busy: usize,
    /// How many may be.
    bound: usize,
}

#[derive(Debug, Default)]
struct Peer {
    waiting: VecDeque<Run>,
    /// How many runs of this peer are under way: one, or more only if several were adopted.
    busy: usize,
    listed: bool,
}

/// The queue of this peer is full.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Full;

impl Queues {
    pub(crate) fn new(bound: usize) -> Self {
        Queues {
            peers: HashMap::new(),
            turns: VecDeque::new(),
            busy: 0,
            bound,
        }
    }

    /// Puts a run at the end of its peer's queue.
    pub(crate) fn push(&mut self, run: Run) -> Result<(), Full> {
        let (name, peer) = self.entry(&run.peer);
        if peer.waiting.len() >= MAX_WAITING {
            return Err(Full);
        }
        peer.waiting.push_back(run);
        self.list(&name);
        Ok(())
    }

    /// Counts a run of this peer as under way although it did not come out of the queue.
    pub(crate) fn hold(&mut self, peer: &str) {
        self.entry(peer).1.busy += 1;
        self.busy += 1;
    }

    /// Takes the run to be started next, which is under way from now on.
    pub(crate) fn take(&mut self) -> Option<Run> {
        while self.busy < self.bound {
            let name = self.turns.pop_front()?;
            let Some(peer) = self.peers.get_mut(&name) else {
                continue;
            };
            peer.listed = false;
            if peer.busy > 0 {
                continue;
            }
            if let Some(run) = peer.waiting.pop_front() {
                peer.busy = 1;
                self.busy += 1;
                return Some(run);
            }
            self.peers.remove(&name);
        }
        None
    }

    /// How many runs are under way.
    pub(crate) const fn busy(&self) -> usize {
        self.busy
    }

    /// Whether a run may be waiting for no other reason than the bound.
    pub(crate) fn is_full(&self) -> bool {
        self.busy >= self.bound && !self.turns.is_empty()
    }

    /// Counts a run of this peer as over.
    pub(crate) fn release(&mut self, peer: &str) {
        let Some((name, entry)) = self.peers.get_key_value(peer) else {
            return;
        };
        let (name, more) = (Arc::clone(name), !entry.waiting.is_empty());
        if let Some(entry) = self.peers.get_mut(&name) {
            entry.busy = entry.busy.saturating_sub(1);
            self.busy = self.busy.saturating_sub(1);
            if entry.busy == 0 && !more && !entry.listed {
                self.peers.remove(&name);
            }
        }
        if more {
            self.list(&name);
        }
    }

    /// Takes a waiting run off its queue.
    pub(crate) fn remove(&mut self, peer: &str, run: RunId) -> Option<Run> {
        let waiting = &mut self.peers.get_mut(peer)?.waiting;
        let at = waiting.iter().position(|waiting| waiting.run == run)?;
        waiting.remove(at)
    }

    fn entry(&mut self, peer: &str) -> (Arc<str>, &mut Peer) {
        let name = match self.peers.get_key_value(peer) {
            Some((name, _)) => Arc::clone(name),
            None => peer.into(),
        };
        let entry = self.peers.entry(Arc::clone(&name)).or_default();
        (name, entry)
    }

    /// Gives a peer a turn, at the end of the line.
    fn list(&mut self, name: &Arc<str>) {
        if let Some(peer) = self.peers.get_mut(name)
            && !peer.listed
            && peer.busy == 0
        {
            peer.listed = true;
            self.turns.push_back(Arc::clone(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::{Command, ScriptKind};

    fn run(number: u64, peer: &str) -> Run {
        Run {
            run: RunId(number),
            peer: peer.to_owned(),
            kind: ScriptKind::Ifup,
            command: Command::Shell(":".to_owned()),
            environment: Vec::new(),
            limit: None,
            setup: None,
            undoes: None,
        }
    }

    fn next(queues: &mut Queues) -> Option<u64> {
        queues.take().map(|run| run.run.0)
    }

    #[test]
    fn peers_take_turns_and_a_peer_never_has_two() {
        let mut queues = Queues::new(10);
        for (number, peer) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c")] {
            queues.push(run(number, peer)).unwrap();
        }
        assert_eq!(next(&mut queues), Some(1));
        assert_eq!(next(&mut queues), Some(4));
        queues.release("a");
        assert_eq!(next(&mut queues), Some(5), "c has waited longer");
        assert_eq!(next(&mut queues), Some(2));
        assert_eq!(next(&mut queues), None);
        queues.release("b");
        queues.release("c");
        assert_eq!(next(&mut queues), None);
        queues.release("a");
        assert_eq!(next(&mut queues), Some(3));
        queues.release("a");
        assert!(queues.peers.is_empty(), "an idle peer costs nothing");
        assert_eq!(queues.busy, 0);
    }

    #[test]
    fn the_bound_holds_and_what_is_held_counts() {
        let mut queues = Queues::new(2);
        queues.hold("x");
        for (number, peer) in [(1, "a"), (2, "b"), (3, "x")] {
            queues.push(run(number, peer)).unwrap();
        }
        assert!(!queues.is_full());
        assert_eq!(next(&mut queues), Some(1));
        assert!(queues.is_full());
        assert_eq!(next(&mut queues), None);
        queues.release("x");
        assert_eq!(next(&mut queues), Some(2));
        queues.release("a");
        assert_eq!(next(&mut queues), Some(3));
    }

    #[test]
    fn a_run_taken_off_leaves_the_others_in_order() {
        let mut queues = Queues::new(2);
        for number in 1..=3 {
            queues.push(run(number, "a")).unwrap();
        }
        assert!(queues.remove("a", RunId(2)).is_some());
        assert!(queues.remove("a", RunId(2)).is_none());
        assert!(queues.remove("b", RunId(1)).is_none());
        assert_eq!(next(&mut queues), Some(1));
        queues.release("a");
        assert_eq!(next(&mut queues), Some(3));
    }

    #[test]
    fn a_queue_is_bounded() {
        let mut queues = Queues::new(1);
        for number in 0..MAX_WAITING as u64 {
            queues.push(run(number, "a")).unwrap();
        }
        assert_eq!(queues.push(run(9_999, "a")), Err(Full));
        assert_eq!(queues.push(run(9_999, "b")), Ok(()));
    }
}
