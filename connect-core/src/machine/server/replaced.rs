// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers that were added or removed before the service was ours: one of them that the server
//! then lists is another one than the one that core, or an earlier core, has known.

use std::collections::BTreeSet;

/// How many names are kept, since another provider may hold the service for long. Beyond that
/// every peer counts as another one, which costs its figures.
const LIMIT: usize = 1_000;

/// Their names.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Replaced {
    names: BTreeSet<Box<str>>,
    is_full: bool,
}

impl Replaced {
    /// A peer was added or removed.
    pub(super) fn note(&mut self, name: &str) {
        self.is_full |= self.names.len() >= LIMIT && !self.names.contains(name);
        if !self.is_full {
            self.names.insert(name.into());
        }
    }

    /// The peer was added or removed since the service is ours, so core knows the present one.
    pub(super) fn forget(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Whether it is certain that a peer that the server lists is another one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a peer that the server lists may be another one.
    pub(in crate::machine) fn contains(&self, name: &str) -> bool {
        self.is_full || self.names.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_every_peer_counts_as_another_one() {
        let mut replaced = Replaced::default();
        for number in 0..LIMIT {
            replaced.note(&number.to_string());
            replaced.note(&number.to_string());
        }
        assert!(replaced.contains("0") && !replaced.contains("p"));
        replaced.note("more");
        assert!(replaced.contains("p") && !replaced.has("p"));
        assert_eq!(replaced.names.len(), LIMIT);
    }
}
