// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper keeps for the next core which scripts have failed, and reports those of
//! earlier cores: `core.json` may be missing, or older.

use connect_ipc::control::ServerLink;
use connect_ipc::frame::parts;
use connect_ipc::scripts::{EndedRun, FailureChange, FailureChanges, ToScripts};

use crate::machine::Machine;

impl Machine {
    /// Tells what has changed.
    pub(super) fn tell_new_failures(&mut self) {
        if self.scripts.helper.ready().is_some() {
            let changes = self.scripts.failures.take_untold();
            self.tell_failures(changes, false);
        }
    }

    /// Gives the script helper failures to keep for the next core; `all` if these are all.
    fn tell_failures(&mut self, changes: Vec<FailureChange>, mut all: bool) {
        let mut parts = parts(changes);
        if all && parts.is_empty() {
            parts.push(Vec::new());
        }
        for changes in parts {
            let all = std::mem::take(&mut all);
            self.tell_scripts(ToScripts::Failures(FailureChanges { all, changes }));
        }
    }

    /// Another script helper has connected: sends it what this core knows.
    pub(super) fn tell_all_failures(&mut self) {
        if self.scripts.recovery.is_known()
            && let Some(changes) = self.scripts.failures.take_all()
        {
            self.tell_failures(changes, true);
        }
    }

    /// The script helper has told which scripts had failed under earlier cores.
    pub(super) fn failures_told(&mut self, failures: Vec<EndedRun>) {
        if !self.scripts.recovery.is_known() {
            self.scripts.failures.told(failures);
        }
    }

    /// When the failures of earlier cores and the peers of the server are known, forgets those that
    /// would have been forgotten if one core had seen everything.
    pub(in crate::machine) fn forget_outdated_failures(&mut self) {
        if !self.scripts.recovery.is_known() || self.server.link() != ServerLink::Up {
            return;
        }
        if self.database.is_there() {
            self.forget_scripts_without_record();
        }
        let (peers, failures) = (&self.peers, &mut self.scripts.failures);
        failures.keep_present(|name| peers.find(name).is_some());
    }
}
