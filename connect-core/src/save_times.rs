// SPDX-License-Identifier: GPL-3.0-or-later
//! When core's state must be written. Nothing here reads a clock or writes a file, so that it can
//! be tested in simulated time.

use std::sync::Arc;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::setup::ServerRun;
use peerdb::Database;

use crate::machine::{DatabaseCopy, Machine};

/// How often figures are written: a crash loses those of this time.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How soon it is written that a peer was added or removed: after a crash in between, the peer is
/// configured once more, or its removal is noticed late. Many changes at once are written once.
const SAVE_SOON: Duration = Duration::from_secs(2);

/// How long to wait before trying again to write a file.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// When the files are to be written, and which.
#[derive(Debug)]
pub struct SaveTimes {
    /// Whether a server is joined.
    is_joined: bool,
    /// The run of the server whose peers were listed last, if it is certain.
    about: Option<ServerRun>,
    /// [`Machine::changes`] as last looked at.
    changes: u64,
    /// [`Machine::database`] as last looked at.
    database: Option<Arc<Database>>,
    /// Whether its file is to be written with the next state.
    database_due: bool,
    /// When the files are to be written next.
    due: Monotonic,
}

impl SaveTimes {
    /// The times of a core that starts at `now`.
    #[must_use]
    pub fn new(now: Monotonic) -> Self {
        SaveTimes {
            is_joined: false,
            about: None,
            changes: 0,
            database: None,
            database_due: false,
            due: now + SAVE_EVERY,
        }
    }

    /// Looks at the machine. To be called once a turn.
    pub fn note(&mut self, machine: &Machine, now: Monotonic) {
        let before = (self.is_joined, self.about);
        self.is_joined = machine.link() == ServerLink::Up;
        self.about = machine.listed_run();
        if self.is_joined && before != (true, self.about) {
            // At once: if core is killed right after it has started up the server or taken over
            // its peers, the next core must not do that again. Where it is not certain which run
            // this is, what is in the file is no longer true.
            self.due = now;
        }
        let is_new = self.note_database(machine);
        if machine.changes() != self.changes || is_new {
            self.changes = machine.changes();
            self.due = self.due.min(now + SAVE_SOON);
        }
    }

    /// Notes that core has loaded another database, if so.
    pub fn note_database(&mut self, machine: &Machine) -> bool {
        let database = machine.database();
        let same = match (database, &self.database) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !same {
            self.database = database.cloned();
            self.database_due = true;
        }
        !same
    }

    /// When the files are to be written next.
    #[must_use]
    pub const fn due(&self) -> Monotonic {
        self.due
    }

    /// Whether they are to be written now.
    #[must_use]
    pub fn are_due(&self, now: Monotonic) -> bool {
        now >= self.due
    }

    /// Whether a server is joined, so that there is something to write.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// They are being written from `now` on.
    pub fn begin(&mut self, now: Monotonic) {
        self.due = now + SAVE_EVERY;
    }

    /// They cannot be written yet, since the last time is not over.
    pub fn put_off(&mut self, now: Monotonic) {
        self.due = now + SAVE_SOON;
    }

    /// They could not be written.
    pub fn failed(&mut self, now: Monotonic) {
        self.database_due = true;
        self.due = self.due.min(now + RETRY_AFTER);
    }

    /// The database to be written with the state, if there is one.
    pub fn take_database(&mut self) -> Option<DatabaseCopy> {
        let due = std::mem::take(&mut self.database_due);
        self.database.clone().filter(|_| due).map(DatabaseCopy)
    }
}
