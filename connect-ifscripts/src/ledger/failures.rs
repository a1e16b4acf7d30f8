// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts did not end well when they were last run: core tells it for the next core.

use std::collections::BTreeMap;
use std::ops::Bound;

use connect_ipc::scripts::{Ended, EndedRun, FailureChange, FailureChanges, FailureKey, UnderWay};

/// How many are kept. Core forgets those of peers that nobody knows any more, so only that many
/// peers with a failure each come to this; what fails beyond it is not kept.
const MAX: usize = 100_000;

/// The failures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures(BTreeMap<FailureKey, EndedRun>);

impl Failures {
    /// Takes what core has told.
    pub(super) fn change(&mut self, told: &FailureChanges) {
        if told.all {
            self.0.clear();
        }
        for change in &told.changes {
            match change {
                FailureChange::Failed(run) => {
                    let key = run.key();
                    if self.0.len() < MAX || self.0.contains_key(&key) {
                        self.0.insert(key, run.clone());
                    }
                }
                FailureChange::Forgotten(key) => {
                    self.0.remove(key);
                }
            }
        }
    }

    /// A script has ended. Core, which is told so, does not tell it back if it has ended well.
    pub(super) fn ended(&mut self, run: &UnderWay, end: &Ended) {
        if self.0.is_empty() || *end == Ended::Stopped || end.failure().is_some() {
            return;
        }
        for kind in [Some(run.kind), run.kind.undone_by()].into_iter().flatten() {
            let peer = run.peer.clone();
            self.0.remove(&FailureKey { peer, kind });
        }
    }

    /// The failed runs after `key`, or all if it is `None`.
    pub(crate) fn after(&self, key: Option<&FailureKey>) -> impl Iterator<Item = &EndedRun> {
        let after = key.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.0.range((after, Bound::Unbounded));
        rest.map(|(_, run)| run)
    }
}
