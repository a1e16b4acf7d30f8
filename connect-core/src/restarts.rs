// SPDX-License-Identifier: GPL-3.0-or-later
//! How core has a helper that does not answer started again.
//!
//! ```text
//!   machine --RestartHelper--> event loop --> [Restarts] --> the helper's supervisor in `connect`
//! ```
//!
//! Under a service manager its watchdog does that, and core asks nobody.

use std::sync::Arc;

use connect_ipc::hello::Role;
use tokio::sync::Notify;

/// The helpers' supervisors, if this program has them.
#[derive(Clone, Debug)]
pub(crate) struct Restarts(Option<Supervised>);

#[derive(Clone, Debug, Default)]
struct Supervised {
    pinger: Arc<Notify>,
    scripts: Arc<Notify>,
}

impl Restarts {
    /// Somebody else starts the helpers.
    #[must_use]
    pub(crate) const fn none() -> Self {
        Restarts(None)
    }

    /// This program starts them.
    #[must_use]
    pub(crate) fn ours() -> Self {
        Restarts(Some(Supervised::default()))
    }

    /// Whether this program starts them.
    #[must_use]
    pub(crate) const fn are_ours(&self) -> bool {
        self.0.is_some()
    }

    /// What tells the supervisor of a helper to end it.
    pub(crate) fn of(&self, role: Role) -> Arc<Notify> {
        let supervised = self.0.clone().unwrap_or_default();
        match role {
            Role::Ifscripts => supervised.scripts,
            Role::Pinger | Role::Core | Role::Operator => supervised.pinger,
        }
    }

    /// Has a helper ended and started again. One that is being started already is left alone.
    pub(crate) fn restart(&self, role: Role) {
        if self.are_ours() {
            self.of(role).notify_waiters();
        }
    }
}
