// SPDX-License-Identifier: GPL-3.0-or-later
//! Asks the script helper what earlier cores have ordered, page by page.

use connect_ipc::scripts::ToScripts;
use connect_ipc::setup::SetupPage;

use crate::machine::Machine;

impl Machine {
    /// A script helper is ready: if it is the first one, it is asked.
    pub(in crate::machine) fn recall_setups(&mut self) {
        if !self.scripts.recovery.is_known() {
            self.scripts.recovery.begin();
            self.tell_scripts(ToScripts::Recall(None));
        }
    }

    /// The script helper has sent a page of what it keeps.
    pub(in crate::machine) fn setups_told(&mut self, page: SetupPage) {
        if self.scripts.recovery.is_known() {
            return;
        }
        match self.scripts.recovery.take(page) {
            Some(last) => self.tell_scripts(ToScripts::Recall(Some(last))),
            None => {
                self.scripts.recovery.sweep();
                self.forget_outdated_failures();
            }
        }
    }
}
