// SPDX-License-Identifier: GPL-3.0-or-later
//! How core has a helper that does not answer started again, and learns of each restart.
//!
//! ```text
//!   machine --RestartHelper--> event loop --> [Restarts] --> the helper's supervisor in `connect`
//!   machine <-HelperRestarted- event loop <-- [Restarts] <------ starts it again -----+
//! ```
//!
//! Under a service manager its watchdog does that, and core asks nobody.

use std::future::pending;
use std::sync::Arc;

use connect_ipc::hello::Role;
use tokio::sync::{Notify, mpsc};

/// How many restarts wait for core's loop. They come every few seconds at most, so that many wait
/// only for a loop that stands still; those beyond are not counted.
const WAITING: usize = 256;

/// The helpers' supervisors, if this program has them.
#[derive(Debug)]
pub(crate) struct Restarts(Option<Supervised>);

#[derive(Debug)]
struct Supervised {
    pinger: Arc<Notify>,
    scripts: Arc<Notify>,
    restarted: mpsc::Receiver<Role>,
}

/// What the supervisor of one helper has of core.
#[derive(Clone, Debug)]
pub(crate) struct Supervision {
    role: Role,
    silent: Arc<Notify>,
    restarted: mpsc::Sender<Role>,
}

impl Supervision {
    /// Waits until the helper is to be ended, since it does not answer.
    pub(crate) async fn silent(&self) {
        self.silent.notified().await;
    }

    /// The helper is started again.
    pub(crate) fn restarted(&self) {
        // A full queue loses a count, and a closed one means that core is ending.
        let _ = self.restarted.try_send(self.role);
    }
}

impl Restarts {
    /// Somebody else starts the helpers.
    #[must_use]
    pub(crate) const fn none() -> Self {
        Restarts(None)
    }

    /// This program starts them: what core has, and what the supervisors of the pinger and of the
    /// script helper have.
    #[must_use]
    pub(crate) fn ours() -> (Self, [Supervision; 2]) {
        let (sender, restarted) = mpsc::channel(WAITING);
        let [pinger, scripts] = [Role::Pinger, Role::Ifscripts].map(|role| Supervision {
            role,
            silent: Arc::default(),
            restarted: sender.clone(),
        });
        let supervised = Supervised {
            pinger: Arc::clone(&pinger.silent),
            scripts: Arc::clone(&scripts.silent),
            restarted,
        };
        (Restarts(Some(supervised)), [pinger, scripts])
    }

    /// Whether this program starts them.
    #[must_use]
    pub(crate) const fn are_ours(&self) -> bool {
        self.0.is_some()
    }

    /// Has a helper ended and started again. One that is being started already is left alone.
    pub(crate) fn restart(&self, role: Role) {
        if let Some(supervised) = &self.0 {
            match role {
                Role::Ifscripts => supervised.scripts.notify_waiters(),
                Role::Pinger => supervised.pinger.notify_waiters(),
                Role::Core | Role::Operator => {}
            }
        }
    }

    /// Waits until a helper was started again. Cancel safe.
    pub(crate) async fn restarted(&mut self) -> Role {
        let next = match &mut self.0 {
            Some(supervised) => supervised.restarted.recv().await,
            None => None,
        };
        match next {
            Some(role) => role,
            None => pending().await,
        }
    }
}
