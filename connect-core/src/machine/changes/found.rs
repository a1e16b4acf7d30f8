// SPDX-License-Identifier: GPL-3.0-or-later
//! The changes that were found so far, while peers are looked at one after the other.

use connect_ipc::changes::{ChangeCounts, RecordStanding};

/// How many peers are listed at most: more than a person reads. The others are counted.
pub(super) const LISTED: usize = 100;

/// The changes that were found so far.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct ChangesFound {
    counts: ChangeCounts,
    /// The first of each kind.
    removed: Vec<Box<str>>,
    changed: Vec<Box<str>>,
    new: Vec<Box<str>>,
}

impl ChangesFound {
    /// The peer of this name differs from the database.
    pub(in crate::machine) fn note(&mut self, name: &str, standing: RecordStanding) {
        self.counts.add(standing);
        let first = match standing {
            RecordStanding::Removed => &mut self.removed,
            RecordStanding::Changed => &mut self.changed,
            RecordStanding::New => &mut self.new,
        };
        if first.len() < LISTED {
            first.push(name.into());
        }
    }

    /// How many there are.
    pub(super) const fn counts(&self) -> ChangeCounts {
        self.counts
    }

    /// The first of them, in the order in which they are listed.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &str> {
        let in_turn = [&self.removed, &self.changed, &self.new];
        in_turn.into_iter().flatten().map(|name| &**name)
    }
}
