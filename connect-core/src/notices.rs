// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service manager hears from core, and when.

use std::path::Path;
use std::time::Duration;

use connect_ipc::control::ServerLink;
use connect_runtime::notifier::Notifier;
use tokio::time::Instant;

use crate::machine::Machine;

/// How often the state is put into words: what an operator reads in `systemctl status` is never
/// older, and a service with thousands of peers does not count them in each turn.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The way to the service manager, as core uses it.
#[derive(Debug)]
pub struct Notices {
    notifier: Notifier,
    /// When the state is looked at next.
    look_at: Instant,
    /// Whether a turn has passed since it was looked at.
    stale: bool,
    /// How core stood with the server then.
    link: Option<ServerLink>,
    /// Whether the database is being read because the service manager wants it.
    reloading: bool,
}

impl Notices {
    /// The service manager that has started this process, if one has.
    #[must_use]
    pub fn from_environment() -> Self {
        Notices {
            notifier: Notifier::from_environment(),
            look_at: Instant::now(),
            stale: true,
            link: None,
            reloading: false,
        }
    }

    /// When [`Notices::turn`] has something to do next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let feeding = self.notifier.feeding_time().map(Instant::from_std);
        let looking = (self.stale && self.notifier.is_present()).then_some(self.look_at);
        feeding.into_iter().chain(looking).min()
    }

    /// One turn of core's loop has passed: feeds the watchdog, and says how things stand if they
    /// stand otherwise.
    pub fn turn(&mut self, machine: &Machine, socket: &Path) {
        self.notifier.feed();
        if !self.notifier.is_present() {
            return;
        }
        let now = Instant::now();
        self.stale = true;
        if now < self.look_at && self.link == Some(machine.link()) {
            return;
        }
        self.stale = false;
        self.look_at = now + LOOK_EVERY;
        self.link = Some(machine.link());
        self.notifier.status(&describe(machine, socket));
    }

    /// The service is claimed.
    pub fn ready(&mut self) {
        self.notifier.ready();
    }

    /// The database is looked at because the service manager wants it.
    pub fn reloading(&mut self) {
        self.reloading = true;
        self.notifier.reloading();
    }

    /// The database was read.
    pub fn loaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.notifier.ready();
        }
    }

    /// Core is about to end.
    pub fn stopping(&mut self) {
        self.notifier.stopping();
    }
}

/// How things stand, in one line.
fn describe(machine: &Machine, socket: &Path) -> String {
    let (peers, adopted) = machine.counts();
    let figures = format!("{peers} peers, {adopted} adopted, {} down", machine.down());
    match machine.link() {
        ServerLink::Up => format!("connected to tripe; {figures}"),
        ServerLink::Joining => "connected to tripe; claiming the service".to_owned(),
        ServerLink::Down if peers == 0 => format!("waiting for tripe at {}", socket.display()),
        ServerLink::Down => format!("waiting for tripe at {}; {figures}", socket.display()),
    }
}
