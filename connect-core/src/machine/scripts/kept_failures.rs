// SPDX-License-Identifier: GPL-3.0-or-later
//! Having the script helper keep for the next core which scripts have failed, and hearing what had
//! failed under earlier ones: `core.json` may be missing, or older.

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

    /// Has the script helper keep failures for the next core; `all` if there are no others.
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

    /// Another script helper has connected: what this core knows counts.
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

    /// Forgets what a core would have forgotten that had seen everything, once it is known what
    /// earlier ones knew and which peers the server has.
    pub(in crate::machine) fn forget_outdated_failures(&mut self) {
        if !self.scripts.recovery.is_known() || self.server.link() != ServerLink::Up {
            return;
        }
        if self.database.loaded || self.database.inherited {
            self.forget_scripts_without_record();
        }
        let (peers, failures) = (&self.peers, &mut self.scripts.failures);
        failures.keep_present(|name| peers.find(name).is_some());
    }
}
