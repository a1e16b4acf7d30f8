// SPDX-License-Identifier: GPL-3.0-or-later
//! Logs that second helpers are refused: rarely, since each retries for ever.

use std::time::Duration;

use connect_ipc::hello::Role;
use connect_runtime::fault_log::FaultLog;

/// How often to log it for each kind of helper.
const EVERY: Duration = Duration::from_secs(60);

/// What the log remembers. All refusals of one kind are the same message.
const REFUSAL: &str = "a second helper";

/// What was logged, for each kind of helper.
#[derive(Debug)]
pub(super) struct Refusals {
    pinger: FaultLog,
    scripts: FaultLog,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals {
            pinger: FaultLog::repeating(EVERY),
            scripts: FaultLog::repeating(EVERY),
        }
    }
}

impl Refusals {
    /// Whether to log a refusal that happens now. If so, it counts as logged.
    pub(super) fn is_to_be_logged(&mut self, role: Role) -> bool {
        let log = match role {
            Role::Ifscripts => &mut self.scripts,
            Role::Pinger | Role::Core | Role::Operator => &mut self.pinger,
        };
        log.is_new(REFUSAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusals_of_each_kind_are_logged_once_a_minute() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_to_be_logged(Role::Pinger));
        assert!(refusals.is_to_be_logged(Role::Ifscripts));
        for _ in 0..10 {
            assert!(!refusals.is_to_be_logged(Role::Pinger));
            assert!(!refusals.is_to_be_logged(Role::Ifscripts));
        }
    }
}
