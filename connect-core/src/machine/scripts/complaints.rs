// SPDX-License-Identifier: GPL-3.0-or-later
//! What the script helper says is wrong: its journal cannot be written, or scripts wait for places.
//!
//! Each helper speaks for itself: one that has just connected and says nothing has no trouble.

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{HelperStatus, LaneStatus, ScriptHelperStatus, WriteFault};
use connect_ipc::event::EventKind;
use connect_ipc::scripts::LONG;
use connect_ipc::setup::{ByLane, Lane};

use super::Scripts;
use crate::machine::Machine;

/// What is wrong, and since when.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// Why the journal cannot be written.
    journal: Option<(Monotonic, String)>,
    full: ByLane<Option<Full>>,
}

/// Scripts of a lane wait for a place.
#[derive(Clone, Copy, Debug)]
struct Full {
    since: Monotonic,
    /// Whether that was told. A moment is not, since a start with many peers has one.
    told: bool,
}

impl Full {
    /// When it has lasted so long that it is told.
    fn due(self) -> Monotonic {
        self.since + LONG
    }
}

impl Complaints {
    /// Whether the helper keeps a journal.
    pub(super) const fn has_journal(&self) -> bool {
        self.journal.is_none()
    }

    /// When there is something to be told.
    fn deadline(&self) -> Option<Monotonic> {
        let lanes = Lane::ALL
            .into_iter()
            .filter_map(|lane| *self.full.get(lane));
        lanes.filter(|full| !full.told).map(Full::due).min()
    }
}

impl Scripts {
    /// When a lack of places is to be told.
    pub(in crate::machine) fn places_deadline(&self) -> Option<Monotonic> {
        self.complaints.deadline()
    }

    /// The helper for operators, given its process. It looks at each run.
    pub(in crate::machine) fn status(
        &self,
        helper: HelperStatus,
        now: Monotonic,
    ) -> ScriptHelperStatus {
        let seconds = |since: Monotonic| now.since(since).as_secs();
        let mut lanes = ByLane::<LaneStatus>::default();
        for lane in Lane::ALL {
            let full = self.complaints.full.get(lane);
            lanes.get_mut(lane).full = full.map(|full| seconds(full.since));
        }
        for run in self.runs.values().filter(|run| !run.ended) {
            let lane = lanes.get_mut(run.kind.lane());
            match run.progress.child {
                Some(_) => lane.running += 1,
                None => lane.waiting += 1,
            }
        }
        let journal_fault = self.complaints.journal.as_ref();
        ScriptHelperStatus {
            helper,
            journal_fault: journal_fault.map(|(since, fault)| WriteFault {
                fault: fault.clone(),
                seconds: seconds(*since),
            }),
            lanes,
        }
    }
}

impl Machine {
    /// Another helper has connected, which tells its own troubles.
    pub(super) fn forget_complaints(&mut self) {
        self.journal_fault(None);
        for lane in Lane::ALL {
            self.places_full(lane, false);
        }
    }

    /// The helper has said how its journal is.
    pub(super) fn journal_fault(&mut self, fault: Option<String>) {
        let before = self.scripts.complaints.journal.take();
        match (before, fault) {
            (before, Some(fault)) => {
                let since = before.as_ref().map_or(self.now, |(since, _)| *since);
                self.scripts.complaints.journal = Some((since, fault.clone()));
                if before.is_some_and(|(_, known)| known == fault) {
                    return;
                }
                tracing::warn!(
                    fault,
                    "the script helper keeps no journal, so that its death may lose scripts or \
                     repeat them"
                );
                self.emit(None, || EventKind::JournalFault { fault });
            }
            (Some((since, _)), None) => {
                let seconds = self.now.since(since).as_secs();
                tracing::info!(seconds, "the script helper keeps its journal again");
                self.emit(None, || EventKind::JournalKept { seconds });
            }
            (None, None) => {}
        }
    }

    /// The helper has said whether scripts of a lane wait for places.
    pub(super) fn places_full(&mut self, lane: Lane, is_full: bool) {
        let since = self.now;
        let full = self.scripts.complaints.full.get_mut(lane);
        if is_full {
            full.get_or_insert(Full { since, told: false });
        } else if let Some(Full { since, told: true }) = full.take() {
            let seconds = self.now.since(since).as_secs();
            tracing::info!(
                scripts = lane.scripts(),
                seconds,
                "no script waits for a place any more"
            );
            self.emit(None, || EventKind::PlacesFree { lane, seconds });
        }
    }

    /// Tells of the lanes in which scripts have waited for places for long.
    pub(in crate::machine) fn tell_of_places(&mut self) {
        for lane in Lane::ALL {
            let Some(full) = self.scripts.complaints.full.get_mut(lane) else {
                continue;
            };
            if full.told || full.due() > self.now {
                continue;
            }
            full.told = true;
            let seconds = self.now.since(full.since).as_secs();
            tracing::warn!(
                scripts = lane.scripts(),
                seconds,
                "as many scripts of this kind are under way as may be, and others wait for a \
                 place; end those that hang, or let more run at once"
            );
            self.emit(None, || EventKind::PlacesFull { lane, seconds });
        }
    }
}
