// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether all observers are told the same: what was told under the number of an event, of all
//! cores and for all observers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use connect_ipc::event::Event;

/// A core: the number of its process, which may be used again, and the start of that.
pub(crate) type Core = (i32, u64);

/// What was told, shared by all observers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accord(Arc<Mutex<HashMap<(Core, u64), u64>>>);

impl Accord {
    /// An observer was told an event of a core. Whether nobody was told anything else under this
    /// number.
    pub(crate) fn take(&self, core: Core, event: &Event) -> bool {
        let mut hasher = DefaultHasher::new();
        // What cannot be written as JSON was not read from it either.
        serde_json::to_string(event)
            .unwrap_or_default()
            .hash(&mut hasher);
        let hash = hasher.finish();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry((core, event.seq)).or_insert(hash) == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::event::EventKind;

    #[test]
    fn two_observers_that_are_told_different_things_under_one_number_are_found() {
        let accord = Accord::default();
        let other = accord.clone();
        let event = |seq, kind| Event {
            seq,
            at_ms: 0,
            peer: None,
            kind,
        };
        assert!(accord.take((7, 1), &event(1, EventKind::Lost {})));
        assert!(other.take((7, 1), &event(1, EventKind::Lost {})));
        assert!(other.take((7, 1), &event(2, EventKind::Joined {})));
        assert!(!other.take((7, 1), &event(1, EventKind::Joined {})));
        assert!(
            other.take((7, 2), &event(1, EventKind::Joined {})),
            "another core"
        );
    }
}
