// SPDX-License-Identifier: GPL-3.0-or-later
//! What a service manager is told (`sd_notify(3)`): ready, status, alive, stopping.
//!
//! The loop that does the work feeds the watchdog itself, so a loop that is stuck is detected and
//! the process is restarted. Without a service manager, nothing here has an effect.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use sd_notify::NotifyState;

use crate::clock;
use crate::fault_log::FaultLog;

/// Variables by which a service manager and its child identify each other. They are not passed on
/// to children, which would otherwise notify the service manager in our name.
pub const PRIVATE_VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// The connection to the service manager.
#[derive(Debug)]
pub struct Notifier {
    /// Whether there is a service manager that listens.
    present: bool,
    /// How often the watchdog is fed: twice as often as it must be, so that one feed may be late.
    feed_every: Option<Duration>,
    /// When it is fed next.
    feed_at: Monotonic,
    /// The last status that was sent.
    status: String,
    faults: FaultLog,
}

impl Notifier {
    /// The service manager that has started this process, if one has.
    #[must_use]
    pub fn from_environment() -> Self {
        let feed_every = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Notifier {
            present: std::env::var_os("NOTIFY_SOCKET").is_some(),
            feed_every: feed_every.filter(|every| !every.is_zero()),
            feed_at: clock::now(),
            status: String::new(),
            faults: FaultLog::default(),
        }
    }

    /// Whether a service manager listens.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.present
    }

    /// The service is ready.
    pub fn ready(&mut self) {
        self.say(&[NotifyState::Ready]);
    }

    /// The configuration is being read again; [`Notifier::ready`] reports the end of it.
    pub fn reloading(&mut self) {
        // systemd from 253 on wants the time as well, to tell this reload from an earlier one.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(_) => self.say(&[NotifyState::Reloading]),
        }
    }

    /// The service is about to end.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping]);
    }

    /// The status, for people. It is sent only if it has changed.
    pub fn status(&mut self, status: &str) {
        if self.status != status {
            // A newline would begin another message.
            let line = status.replace(char::is_control, " ");
            self.say(&[NotifyState::Status(&line)]);
            status.clone_into(&mut self.status);
        }
    }

    /// When the watchdog wants to be fed next; `None` if there is none.
    #[must_use]
    pub fn feeding_time(&self) -> Option<Monotonic> {
        self.feed_every.map(|_| self.feed_at)
    }

    /// Feeds the watchdog if it is time. To be called in each turn of the loop that does the work.
    pub fn feed(&mut self) {
        let Some(every) = self.feed_every else { return };
        let now = clock::now();
        if now >= self.feed_at {
            self.feed_at = now + every;
            self.say(&[NotifyState::Watchdog]);
        }
    }

    fn say(&mut self, what: &[NotifyState<'_>]) {
        if !self.present {
            return;
        }
        if let Err(error) = sd_notify::notify(what)
            && self.faults.is_new(&error.to_string())
        {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }
}
