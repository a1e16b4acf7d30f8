// SPDX-License-Identifier: GPL-3.0-or-later
//! Tells operators and observers which faults the script helper has reported.
//!
//! Each helper reports its own faults: a helper that has just connected and has reported none has
//! none.

use connect_ipc::RunId;
use connect_ipc::clock::Monotonic;
use connect_ipc::event::EventKind;
use connect_ipc::setup::Lane;

use crate::machine::Machine;

impl Machine {
    /// Another helper has connected, which reports its own faults.
    pub(super) fn forget_complaints(&mut self) {
        self.journal_fault(None);
        for lane in Lane::ALL {
            self.places_full(lane, false);
        }
    }

    /// What is wrong with the journal, as the helper or its supervisor reports it.
    pub(super) fn journal_fault(&mut self, fault: Option<String>) {
        let complaints = &mut self.scripts.complaints;
        if let Some(fault) = fault {
            if !complaints.set_fault(fault.clone(), self.now) {
                return;
            }
            // The text of the fault says what follows from it.
            tracing::warn!(fault, "the journal of scripts has a fault");
            self.emit(None, || EventKind::JournalFault { fault });
        } else if let Some(since) = complaints.end_fault() {
            let seconds = self.now.since(since).as_secs();
            tracing::info!(seconds, "the journal of scripts has no fault any more");
            self.emit(None, || EventKind::JournalKept { seconds });
        }
    }

    /// The helper cannot begin, since another process locks its journal. That ends when it
    /// connects.
    pub(in crate::machine) fn scripts_held_up(&mut self, why: String) {
        if self.scripts.helper.missing_since().is_some() {
            self.scripts.helper.held_up(self.now);
            self.journal_fault(Some(why));
        }
    }

    /// A script that had to end still runs although the helper sent it `KILL` at `since`. No report
    /// of the helper is due: it has done what it can.
    pub(super) fn script_survives(&mut self, id: RunId, since: Monotonic) {
        self.scripts.owe(id, None);
        let Some(run) = self.scripts.runs.get_mut(id) else {
            return;
        };
        // A helper that connects again repeats its reports.
        if !run.survive(since) {
            return;
        }
        let (peer, script, pid) = (run.peer.clone(), run.kind, run.pid());
        tracing::warn!(
            peer,
            script = script.name(),
            pid,
            "a script had to end, but still runs after KILL; the next scripts of this peer wait; \
             it waits for a device or a file server that does not answer, or it runs as another \
             user and root must end it"
        );
        self.emit(Some(&peer), || EventKind::Survives { script, pid });
    }

    /// The helper has reported whether scripts of a lane wait for places.
    pub(super) fn places_full(&mut self, lane: Lane, is_full: bool) {
        let complaints = &mut self.scripts.complaints;
        if is_full {
            complaints.set_full(lane, self.now);
        } else if let Some(since) = complaints.end_full(lane) {
            let seconds = self.now.since(since).as_secs();
            tracing::info!(
                scripts = lane.scripts(),
                seconds,
                "no script of this kind waits for a place any more"
            );
            self.emit(None, || EventKind::PlacesFree { lane, seconds });
        }
    }

    /// Reports the lanes in which scripts have waited for places for long.
    pub(in crate::machine) fn tell_of_places(&mut self) {
        for lane in Lane::ALL {
            let Some(since) = self.scripts.complaints.take_due(lane, self.now) else {
                continue;
            };
            let seconds = self.now.since(since).as_secs();
            tracing::warn!(
                scripts = lane.scripts(),
                seconds,
                "as many scripts of this kind are under way as are allowed, and others wait for \
                 a place; end those that hang, or allow more"
            );
            self.emit(None, || EventKind::PlacesFull { lane, seconds });
        }
    }
}
