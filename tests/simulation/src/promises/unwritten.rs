// SPDX-License-Identifier: GPL-3.0-or-later
//! What a core has seen so recently that the state that it leaves may not have it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Moment;
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::seen::Seen;

/// How long after a change core has its state written, also if it must be tried again.
pub(super) const WRITTEN: Duration = Duration::from_secs(15);

/// The peers of which something has changed, and when.
#[derive(Debug, Default)]
pub(super) struct Unwritten(BTreeMap<String, Instant>);

impl Unwritten {
    /// Takes in that nothing is written for some time.
    pub(super) fn see(&mut self, now: &Moment<'_>) {
        match now.seen {
            Seen::Stands(Part::Core, until) => self.hold_back(now.at, *until),
            Seen::Fault(Fault::Suspend { time }) => self.hold_back(now.at, now.at + *time),
            _ => {}
        }
    }

    fn hold_back(&mut self, at: Instant, until: Instant) {
        let since = self.0.values_mut();
        for since in since.filter(|since| **since + WRITTEN > at) {
            *since = (*since).max(until);
        }
    }

    /// Something of a peer has changed.
    pub(super) fn changed(&mut self, peer: &str, at: Instant) {
        self.0.insert(peer.to_owned(), at);
    }

    /// Core ends. Gives the peers of which its state may not have the change.
    pub(super) fn take(&mut self, at: Instant) -> impl Iterator<Item = String> + use<> {
        let all = std::mem::take(&mut self.0).into_iter();
        let unwritten = all.filter(move |(_, since)| *since + WRITTEN > at);
        unwritten.map(|(peer, _)| peer)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
