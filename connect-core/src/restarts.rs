// SPDX-License-Identifier: GPL-3.0-or-later
//! How core makes its program restart a helper that does not answer, and what it is told about
//! helpers that its program starts.
//!
//! ```text
//!   machine --RestartHelper--> event loop --> [Restarts] --> the helper's supervisor in `connect`
//!   machine <-- HelperNews --- event loop <-- [Restarts] <- starts it again, or sees -+
//!                                                           that it cannot begin
//! ```
//!
//! Under a service manager its watchdog restarts helpers, and core asks nobody.

use std::future::pending;
use std::sync::Arc;

use connect_ipc::hello::Role;
use tokio::sync::{Notify, mpsc};

use crate::machine::HelperNews;

/// How many messages wait for core's loop. They come every few seconds at most, so that many wait
/// only if the loop hangs; more are not counted.
const WAITING: usize = 256;

/// The helpers' supervisors, if this program has them.
#[derive(Debug)]
pub(crate) struct Restarts(Option<Supervised>);

#[derive(Debug)]
struct Supervised {
    pinger: Arc<Notify>,
    scripts: Arc<Notify>,
    news: mpsc::Receiver<HelperNews>,
}

/// What the supervisor of one helper has of core.
#[derive(Clone, Debug)]
pub(crate) struct Supervision {
    role: Role,
    silent: Arc<Notify>,
    news: mpsc::Sender<HelperNews>,
}

impl Supervision {
    /// Waits until the helper must be ended because it does not answer.
    pub(crate) async fn silent(&self) {
        self.silent.notified().await;
    }

    /// The helper is started again.
    pub(crate) fn restarted(&self) {
        // A full queue loses a count, and a closed one means that core is ending.
        let _ = self.news.try_send(HelperNews::Restarted(self.role));
    }

    /// The script helper cannot begin, for this reason.
    pub(crate) fn held_up(&self, why: String) {
        let _ = self.news.try_send(HelperNews::HeldUp(why));
    }
}

impl Restarts {
    /// Another program starts the helpers.
    #[must_use]
    pub(crate) const fn none() -> Self {
        Restarts(None)
    }

    /// This program starts them: what core has, and what the supervisors of the pinger and of the
    /// script helper have.
    #[must_use]
    pub(crate) fn ours() -> (Self, [Supervision; 2]) {
        let (sender, news) = mpsc::channel(WAITING);
        let [pinger, scripts] = [Role::Pinger, Role::Ifscripts].map(|role| Supervision {
            role,
            silent: Arc::default(),
            news: sender.clone(),
        });
        let supervised = Supervised {
            pinger: Arc::clone(&pinger.silent),
            scripts: Arc::clone(&scripts.silent),
            news,
        };
        (Restarts(Some(supervised)), [pinger, scripts])
    }

    /// Whether this program starts them.
    #[must_use]
    pub(crate) const fn are_ours(&self) -> bool {
        self.0.is_some()
    }

    /// Requests that a helper is ended and started again, unless it is already being started.
    pub(crate) fn restart(&self, role: Role) {
        if let Some(supervised) = &self.0 {
            match role {
                Role::Ifscripts => supervised.scripts.notify_waiters(),
                Role::Pinger => supervised.pinger.notify_waiters(),
                Role::Core | Role::Operator => {}
            }
        }
    }

    /// Waits for the next news of a helper. Cancel safe.
    pub(crate) async fn news(&mut self) -> HelperNews {
        let next = match &mut self.0 {
            Some(supervised) => supervised.news.recv().await,
            None => None,
        };
        match next {
            Some(news) => news,
            None => pending().await,
        }
    }
}
