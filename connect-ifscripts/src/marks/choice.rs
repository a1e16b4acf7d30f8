// SPDX-License-Identifier: GPL-3.0-or-later
//! Which process is the child of a run that was just being started when its helper was killed. No
//! I/O.
//!
//! A script cannot change its parent, which was its helper and is now a process that is older than
//! the helper. It cannot change when it was started. It cannot change its session, which is that of
//! its helper, unless it moves to another process group first. A script can change its environment,
//! and whether we may read that, by executing another program. It can redirect its input.
//!
//! The helper may have been suspended between the note and the start for any time. So a process
//! that shows that it belongs to the run may be the child, however late it was started.
//!
//! One mistake is possible: if the script has ended, and has left a process behind that leads a
//! group in the same session and shows the run, that process is chosen, because nothing is left of
//! the script itself. A script that has left its process group is not found: it looks like a
//! process that an ended script has left behind.

use std::collections::BTreeMap;
use std::io;

use connect_ipc::RunId;
use connect_ipc::scripts::Child;
use connect_runtime::start_time::Stat;

use crate::ledger::Origin;
use crate::stdin::StandardInput;

/// A process may seem to be older than it is, by at most this number of ticks: the two readings of
/// the clock may differ by some nanoseconds.
const TOLERANCE: u64 = 1;

/// What a process shows of the run that it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Evidence {
    pub(super) variable: Variable,
    pub(super) input: StandardInput,
}

/// The variable with the run's number in the environment of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Variable {
    Run(RunId),
    Absent,
    /// The process is another user's.
    Unreadable,
}

/// What the system says about all processes.
pub(super) struct Processes<'a> {
    pub(super) stats: &'a BTreeMap<i32, Stat>,
    /// The children of other runs.
    pub(super) known: Vec<Child>,
    /// For a child that shows nothing: how many ticks after the note it may have been started.
    pub(super) slack: u64,
}

impl Processes<'_> {
    /// The child of this run. `evidence` is asked of few processes.
    ///
    /// # Errors
    /// That of `evidence`.
    pub(super) fn choose(
        &self,
        run: RunId,
        origin: Origin,
        evidence: impl Fn(i32) -> io::Result<Evidence>,
    ) -> io::Result<Option<Child>> {
        let in_time = origin.at.saturating_add(self.slack);
        let mut candidates = Vec::new();
        for child in self.started(origin) {
            let fits = match evidence(child.pid)?.is_of(run) {
                Belongs::Shown => true,
                Belongs::Perhaps => child.start_time <= in_time,
                Belongs::Not => false,
            };
            candidates.extend(fits.then_some(child));
        }
        Ok(self.first(&candidates))
    }

    /// The processes that may have been started at this origin, judged by what no script can
    /// change.
    fn started(&self, origin: Origin) -> impl Iterator<Item = Child> {
        let earliest = origin.at.saturating_sub(TOLERANCE);
        self.stats.iter().filter_map(move |(pid, stat)| {
            let child = Child {
                pid: *pid,
                start_time: stat.start_time,
            };
            // A process with a younger parent was started by a script.
            let parent = self.stats.get(&stat.parent);
            let may_be = stat.group == *pid
                && stat.session == origin.session
                && stat.session != *pid
                && earliest <= stat.start_time
                && parent.is_none_or(|parent| parent.start_time <= origin.at)
                && !self.known.contains(&child);
            may_be.then_some(child)
        })
    }

    /// The oldest, since what a script starts is younger. Among several of the same tick, none that
    /// another one has started.
    fn first(&self, candidates: &[Child]) -> Option<Child> {
        let is_parent = |parent: i32| candidates.iter().any(|child| child.pid == parent);
        let has_other_parent = |child: &&Child| {
            let stat = self.stats.get(&child.pid);
            !stat.is_some_and(|stat| is_parent(stat.parent))
        };
        let first = candidates.iter().filter(has_other_parent);
        first
            .min_by_key(|child| (child.start_time, child.pid))
            .copied()
    }
}

/// Whether a process belongs to a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Belongs {
    /// It shows that it does.
    Shown,
    /// It shows nothing, as a script that runs as another user: its session and start time must do.
    Perhaps,
    Not,
}

impl Evidence {
    fn is_of(self, run: RunId) -> Belongs {
        match (self.variable, self.input) {
            (Variable::Run(number), _) if number != run => Belongs::Not,
            (Variable::Run(_), _) | (_, StandardInput::Ours) => Belongs::Shown,
            (Variable::Unreadable, StandardInput::Unreadable) => Belongs::Perhaps,
            (Variable::Absent | Variable::Unreadable, _) => Belongs::Not,
        }
    }
}

#[cfg(test)]
mod tests;
