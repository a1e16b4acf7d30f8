// SPDX-License-Identifier: GPL-3.0-or-later
//! The starts of one peer's scripts by themselves: none twice, none beside another that it has to
//! wait for, none before an earlier one.

use std::collections::BTreeSet;

use connect_ipc::RunId;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::{ByLane, Lane, Pair};

/// A run that was started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which run.
    pub run: RunId,
    /// Which script.
    pub kind: ScriptKind,
    /// How many scripts were under way when it started that must not be: see [`beside`].
    pub beside: usize,
}

/// How many of the scripts that are under way forbid that this run starts: others of its lane, and,
/// for a connection command, each `ifup` and `ifdown` that was ordered before it.
pub fn beside(
    under_way: impl Iterator<Item = (RunId, ScriptKind)>,
    run: RunId,
    kind: ScriptKind,
) -> usize {
    let lane = kind.lane();
    let conflicts = under_way.filter(|(other, of)| {
        let is_awaited = of.pair() == Pair::Interface && *other < run;
        of.lane() == lane || (lane == Lane::Connection && is_awaited)
    });
    conflicts.count()
}

/// What has been started so far: holds each start against those before it.
#[derive(Clone, Debug, Default)]
pub struct Started {
    runs: BTreeSet<RunId>,
    last: ByLane<Option<RunId>>,
}

impl Started {
    /// Takes the next start.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn take(&mut self, start: &Start) -> Result<(), String> {
        let run = start.run;
        if !self.runs.insert(run) {
            return Err(format!("run {} was started twice", run.0));
        }
        if start.beside > 0 {
            return Err(format!("run {} was started beside another", run.0));
        }
        // A connection command also waits for each `ifup` and `ifdown` before it.
        let lane = start.kind.lane();
        let is_late = |lane| self.last.get(lane).is_some_and(|last| run < last);
        let is_awaited = start.kind.pair() == Pair::Interface;
        if is_late(lane) || (is_awaited && is_late(Lane::Connection)) {
            return Err(format!("run {} was started after a later one", run.0));
        }
        *self.last.get_mut(lane) = Some(run);
        Ok(())
    }
}
