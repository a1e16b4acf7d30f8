// SPDX-License-Identifier: GPL-3.0-or-later
//! The changes of setups without a script that the script helper has not confirmed yet: it writes
//! them into its journal.

use std::collections::BTreeMap;

use connect_ipc::RunId;
use connect_ipc::setup::{SetupChange, SetupKey};

/// These changes. Of each setup there is at most one more than orders that the helper has not
/// accepted.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Unnoted {
    by_number: BTreeMap<RunId, SetupChange>,
    /// The last one of each setup.
    last: BTreeMap<SetupKey, RunId>,
}

impl Unnoted {
    /// Adds a change. It replaces the one before it, unless a run of the same setup was ordered
    /// since: `last_order` is the last that the helper may not have.
    pub(super) fn add(&mut self, change: SetupChange, last_order: Option<RunId>) {
        let before = self.last.insert(change.setup.key.clone(), change.number);
        if let Some(before) = before.filter(|before| last_order < Some(*before)) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(change.number, change);
    }

    /// The helper has written the change of this number down, if it is one.
    pub(in crate::machine) fn taken(&mut self, number: RunId) {
        if let Some(change) = self.by_number.remove(&number)
            && self.last.get(&change.setup.key) == Some(&number)
        {
            self.last.remove(&change.setup.key);
        }
    }

    /// All of them, the oldest first.
    pub(in crate::machine) fn iter(&self) -> impl Iterator<Item = &SetupChange> {
        self.by_number.values()
    }

    /// How many there are.
    pub(in crate::machine) fn len(&self) -> usize {
        self.by_number.len()
    }
}
