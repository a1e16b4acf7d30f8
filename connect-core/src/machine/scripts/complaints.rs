// SPDX-License-Identifier: GPL-3.0-or-later
//! Faults that the script helper reports: its journal cannot be written, or scripts wait for
//! places.

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::LONG;
use connect_ipc::setup::{ByLane, Lane};
use connect_ipc::write_fault::WriteFault;

/// What is wrong, and since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints {
    /// Why the journal cannot be written.
    journal: Option<(Monotonic, String)>,
    full: ByLane<Option<Full>>,
}

/// Scripts of a lane wait for a place.
#[derive(Clone, Copy, Debug)]
struct Full {
    since: Monotonic,
    /// Whether that was reported. A short time is not, since it is normal at a start with many
    /// peers.
    told: bool,
}

impl Full {
    /// When it has lasted so long that it is reported.
    fn due(self) -> Monotonic {
        self.since + LONG
    }
}

impl Complaints {
    /// Whether the helper keeps a journal.
    pub(super) const fn has_journal(&self) -> bool {
        self.journal.is_none()
    }

    /// What is wrong with the journal, for operators.
    pub(super) fn journal_fault(&self, now: Monotonic) -> Option<WriteFault> {
        let (since, fault) = self.journal.as_ref()?;
        Some(WriteFault {
            fault: fault.clone(),
            seconds: now.since(*since).as_secs(),
        })
    }

    /// The journal cannot be written. Returns whether the fault is new.
    pub(super) fn set_fault(&mut self, fault: String, now: Monotonic) -> bool {
        let before = self.journal.take();
        let since = before.as_ref().map_or(now, |(since, _)| *since);
        let is_news = before.is_none_or(|(_, known)| known != fault);
        self.journal = Some((since, fault));
        is_news
    }

    /// The journal can be written. Returns since when it could not.
    pub(super) fn end_fault(&mut self) -> Option<Monotonic> {
        self.journal.take().map(|(since, _)| since)
    }

    /// Since when scripts of a lane have waited for a place.
    pub(super) fn full_since(&self, lane: Lane) -> Option<Monotonic> {
        self.full.get(lane).map(|full| full.since)
    }

    /// Scripts of a lane wait for a place.
    pub(super) fn set_full(&mut self, lane: Lane, since: Monotonic) {
        let full = self.full.get_mut(lane);
        full.get_or_insert(Full { since, told: false });
    }

    /// No script waits any more. Returns since when they did, if that was reported.
    pub(super) fn end_full(&mut self, lane: Lane) -> Option<Monotonic> {
        let full = self.full.get_mut(lane).take();
        full.filter(|full| full.told).map(|full| full.since)
    }

    /// When there is something to report.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let lanes = Lane::ALL
            .into_iter()
            .filter_map(|lane| *self.full.get(lane));
        lanes.filter(|full| !full.told).map(Full::due).min()
    }

    /// Since when scripts of a lane have waited for a place, if it is time to report that.
    pub(super) fn take_due(&mut self, lane: Lane, now: Monotonic) -> Option<Monotonic> {
        let full = self.full.get_mut(lane).as_mut()?;
        if full.told || full.due() > now {
            return None;
        }
        full.told = true;
        Some(full.since)
    }
}
