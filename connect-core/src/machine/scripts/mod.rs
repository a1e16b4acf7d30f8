// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper and its runs.
//!
//! ```text
//!   a peer comes, goes, is unreachable --> [dispatch] --Run--> script helper
//!   an operator asks for one --> [requested] --^
//!   script helper --Started, Output, Ended--> [reports] --> [runs], warnings, events
//!   a script helper connects --> [resuming] --Over, Adopt, Run, Stop, Ready--> script helper
//!   a run is over --> [ends] --> [failures], warnings, counts
//!   [failures] <--[kept_failures]--> script helper, which keeps them for the next core
//!   script helper --JournalFault, Full--> [telling], [complaints] --> events, status
//!   script helper --Survives--> [telling], [runs] --> events, status
//! ```

mod complaints;
mod dispatch;
mod ends;
mod failures;
mod kept_failures;
pub(super) mod prepared;
mod reports;
mod requested;
mod resuming;
mod runs;
mod settling;
mod telling;

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::{
    HelperStatus, LaneStatus, LongScript, RecentScript, ScriptHelperStatus, ScriptStatus,
    ServerLink, WaitsFor,
};
use connect_ipc::scripts::{Child, EndedRun, Run, ScriptKind, UnderWay};
use connect_ipc::setup::{ByLane, Lane, Pair};

use super::helper::Helper;
use super::limits::GRACE;
use super::setups::progress::{PeerSetups, Progress};
use super::setups::recovery::Recovery;
use super::setups::unnoted::Unnoted;
use crate::for_people::ForPeople;
use complaints::Complaints;
use runs::RunTable;
use settling::Settling;

/// The script helper and its runs.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) helper: Helper,
    /// The runs under way that a script helper has reported, until its report is complete.
    resumed: Vec<UnderWay>,
    runs: RunTable,
    next_run: u64,
    /// Which reports of the helper are due, the oldest first: for each run at most the next one, by
    /// the instant when it is due.
    owed: BTreeSet<(Monotonic, RunId)>,
    /// The children that core does not watch yet, the next one first. Most end before core watches
    /// them.
    unwatched: VecDeque<(Monotonic, RunId, Child)>,
    /// The last scripts that ended, of all peers.
    recent: ForPeople<VecDeque<EndedRun>>,
    /// Those that failed when they were last run.
    pub(super) failures: failures::Failures,
    /// The changes of setups without a script that the helper has not confirmed yet.
    pub(super) changes: Unnoted,
    /// What is not known yet of what earlier cores have ordered.
    pub(super) recovery: Recovery,
    settling: Settling,
    complaints: Complaints,
}

impl Scripts {
    /// No runs yet. The clock only grows, so no number of an earlier core is used again.
    pub(super) fn new(started: Monotonic) -> Self {
        Scripts {
            helper: Helper::awaited(started),
            resumed: Vec::new(),
            runs: RunTable::default(),
            next_run: started.0,
            owed: BTreeSet::new(),
            unwatched: VecDeque::new(),
            recent: ForPeople::default(),
            failures: failures::Failures::default(),
            changes: Unnoted::default(),
            recovery: Recovery::default(),
            settling: Settling::new(RunId(started.0)),
            complaints: Complaints::default(),
        }
    }

    /// The number of the next run.
    pub(super) const fn next_run(&self) -> RunId {
        RunId(self.next_run)
    }

    /// Takes the number of the next run.
    pub(super) const fn number(&mut self) -> RunId {
        let number = RunId(self.next_run);
        self.next_run += 1;
        number
    }

    /// What a script of this peer waits for that is ordered now; `None` if it is started at once.
    fn waits_for(&self, peer: &str, lane: Lane, now: Monotonic) -> Option<WaitsFor> {
        let mut runs = self.runs.pending_of(peer);
        if let Some((_, run)) = runs.find(|(_, run)| run.kind.lane() == lane) {
            let ahead = run.status(now);
            return Some(WaitsFor::Run {
                script: ahead.kind,
                pid: ahead.pid,
                seconds: ahead.seconds,
            });
        }
        let is_full = self.complaints.full_since(lane).is_some();
        is_full.then_some(WaitsFor::Place {})
    }

    /// The setups that are certain: an order that the helper does not have yet is lost if core
    /// ends, and the next core must give it again. If the helper has it after all, it says so.
    pub(super) fn certain(&self, name: &str, mut setups: PeerSetups) -> PeerSetups {
        let is_untaken = |run| self.runs.get(run).is_some_and(|run| run.order.is_some());
        for pair in Pair::ALL {
            let Progress::Ordered { first, last } = setups.get(pair) else {
                continue;
            };
            let mut makers = self.pending_makers(name, pair, first..=last).peekable();
            if makers.peek().is_some() && makers.all(is_untaken) {
                let again = match pair {
                    Pair::Interface | Pair::Connection => Progress::Due,
                    Pair::Hooks => Progress::Idle,
                };
                setups.set(pair, again);
            }
        }
        if setups.get(Pair::Hooks) == Progress::Idle && self.owes_on_down(name) {
            setups.set(Pair::Hooks, Progress::Made);
        }
        setups
    }

    /// Whether the helper may not have the `on-down` that was ordered last, and that undoes what is
    /// certain to have been made.
    fn owes_on_down(&self, name: &str) -> bool {
        let mut orders = self.untaken_of(name).rev();
        let last = orders.find(|run| run.kind.pair() == Pair::Hooks);
        let is_to_undo = |run: &Run| run.kind == ScriptKind::OnDown && run.undoes.is_empty();
        last.is_some_and(is_to_undo)
    }

    /// Whether a run of this peer that makes a setup, other than the run `than`, has not ended: an
    /// `ifup` that an operator has ordered, or a `connect` that was followed by another. Only runs
    /// with numbers in `of` count, those that were to make this setup: others belong to the setup
    /// of an earlier or a later peer of that name, which has an undoing of its own.
    pub(super) fn pending_makers(
        &self,
        peer: &str,
        pair: Pair,
        of: RangeInclusive<RunId>,
    ) -> impl Iterator<Item = RunId> {
        let [maker, _] = pair.scripts();
        let runs = self.runs.pending_of(peer);
        let runs = runs.filter(move |(id, run)| run.kind == maker && of.contains(id));
        runs.map(|(id, _)| id)
    }

    /// The runs of a peer that make a setup and that no helper can know.
    pub(super) fn unsent_makers(&self, peer: &str, pair: Pair) -> Vec<RunId> {
        let [maker, _] = pair.scripts();
        let runs = self.runs.pending_of(peer);
        let runs = runs.filter(|(_, run)| run.kind == maker && run.is_unsent());
        runs.map(|(id, _)| id).collect()
    }

    /// The order of a run of which no helper can know.
    pub(super) fn unsent_order(&mut self, run: RunId) -> Option<&mut Run> {
        self.runs.unsent_order(run)
    }

    /// The server is lost. This goes through all runs.
    pub(super) fn server_lost(&mut self) {
        let active = self
            .runs
            .iter()
            .filter(|(_, run)| run.kind.pair() == Pair::Interface && !run.has_ended());
        self.recovery
            .server_lost(active.map(|(_, run)| run.peer.as_str()));
    }

    /// Whether an interface script of a peer has not ended.
    pub(super) fn is_interface_active(&self, peer: &str) -> bool {
        let mut runs = self.runs.of(peer);
        runs.any(|(_, run)| run.kind.pair() == Pair::Interface)
    }

    /// When there is something to be decided, if a server is joined, or to tell the helper.
    pub(super) fn deadline(&self, now: Monotonic, link: ServerLink) -> Option<Monotonic> {
        let decide = (self.recovery.has_more() && link == ServerLink::Up).then_some(now);
        decide.into_iter().chain(self.settling.due()).min()
    }

    /// The helper's next report about a run is due at `due`; `None` if none is.
    fn owe(&mut self, id: RunId, due: Option<Monotonic>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut run.owed, due);
        self.owed.extend(due.map(|due| (due, id)));
        if let Some(before) = before.filter(|before| due != Some(*before)) {
            self.owed.remove(&(before, id));
        }
    }

    /// The helper has disconnected: the next one is told again.
    pub(super) fn forget_owed(&mut self) {
        for (_, id) in std::mem::take(&mut self.owed) {
            if let Some(run) = self.runs.get_mut(id) {
                run.owed = None;
            }
        }
    }

    /// When the first of the helper's reports is due, which may be in the future.
    pub(super) fn owed_since(&self) -> Option<Monotonic> {
        self.owed.first().map(|(due, _)| *due)
    }

    /// The scripts of a peer that take unusually long or cannot be ended: at most one of each kind,
    /// the oldest.
    pub(super) fn long_of(&self, peer: &str, now: Monotonic) -> Vec<LongScript> {
        let mut known: Vec<LongScript> = Vec::new();
        for (_, run) in self.runs.of(peer) {
            if let Some(long) = run.long(now)
                && known.iter().all(|other| other.kind != long.kind)
            {
                known.push(long);
            }
        }
        known
    }

    /// A child was started. It is watched from the instant at which the helper would be overdue if
    /// the child had ended at once.
    fn watch_later(&mut self, id: RunId, child: Child, now: Monotonic) {
        self.unwatched.push_back((now + GRACE, id, child));
    }

    /// When the next child is to be watched, unless it has ended by then.
    pub(super) fn watch_at(&self) -> Option<Monotonic> {
        self.unwatched.front().map(|(due, _, _)| *due)
    }

    /// The children that are to be watched from now on.
    pub(super) fn take_due_to_watch(&mut self, now: Monotonic) -> Vec<(RunId, Child)> {
        let mut due = Vec::new();
        while let Some((_, id, child)) = self.unwatched.pop_front_if(|(at, _, _)| *at <= now) {
            if self.runs.is_pending(id) {
                due.push((id, child));
            }
        }
        due
    }

    /// When to report that scripts wait for places.
    pub(super) fn places_deadline(&self) -> Option<Monotonic> {
        self.complaints.deadline()
    }

    /// The helper for operators, given its process.
    pub(super) fn status(&self, helper: HelperStatus, now: Monotonic) -> ScriptHelperStatus {
        let mut lanes = ByLane::<LaneStatus>::default();
        for lane in Lane::ALL {
            let (since, counts) = (self.complaints.full_since(lane), self.runs.counts(lane));
            *lanes.get_mut(lane) = LaneStatus {
                running: counts.running,
                waiting: counts.waiting,
                full: since.map(|since| now.since(since).as_secs()),
            };
        }
        ScriptHelperStatus {
            helper,
            journal_fault: self.complaints.journal_fault(now),
            lanes,
        }
    }

    /// How many scripts are queued or under way.
    pub(super) fn pending(&self) -> u64 {
        let counts = Lane::ALL.map(|lane| self.runs.counts(lane));
        counts.iter().map(|it| it.running + it.waiting).sum()
    }

    /// How many orders and changes of setups the helper has not accepted. This goes through all
    /// runs.
    pub(super) fn untaken(&self) -> usize {
        let orders = self.runs.iter().filter(|(_, run)| run.order.is_some());
        orders.count() + self.changes.len()
    }

    /// The orders for a peer that the helper may not have, and that were not started.
    pub(super) fn untaken_of(&self, peer: &str) -> impl DoubleEndedIterator<Item = &Run> {
        let pending = self.runs.pending_of(peer);
        let waiting = pending.filter(|(_, run)| run.child().is_none());
        waiting.filter_map(|(_, run)| Some(&run.order.as_ref()?.run))
    }

    /// A peer's scripts, for operators.
    pub(super) fn of(&self, peer: &str, now: Monotonic) -> (Vec<ScriptStatus>, Vec<RecentScript>) {
        let pending = self.runs.pending_of(peer);
        let pending = pending.map(|(_, run)| run.status(now)).collect();
        let recent = || self.recent.iter().filter(|run| run.peer == peer);
        // A failure is shown even if many other scripts have ended since.
        let known =
            |failed: &&EndedRun| recent().any(|run| (run.kind, run.at) == (failed.kind, failed.at));
        let failed = self.failures.runs(peer).iter();
        let before = failed.filter(|failed| !known(failed));
        let ended = before.chain(recent()).map(|run| report(run, now));
        (pending, ended.collect())
    }

    /// Compares the indexes with all runs.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.runs.check();
    }
}

/// A run that has ended, for operators.
fn report(run: &EndedRun, now: Monotonic) -> RecentScript {
    RecentScript {
        kind: run.kind,
        end: run.end.clone(),
        ago: now.since(run.at).as_secs(),
        output: run.output.clone(),
    }
}
