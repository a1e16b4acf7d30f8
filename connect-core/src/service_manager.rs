// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service manager is told, and when.

use std::path::Path;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::probing::OverdueCause;
use connect_runtime::clock;
use connect_runtime::notifier::Notifier;

use crate::machine::{Machine, Milestone};

/// How often the state is put into words: what an operator reads in `systemctl status` is never
/// older, and a service with thousands of peers does not count them in each turn.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The way to the service manager, as core uses it.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    notifier: Notifier,
    /// When the state is looked at next.
    look_at: Monotonic,
    /// Whether a turn has passed since it was looked at.
    stale: bool,
    /// How core stood with the server then.
    link: Option<ServerLink>,
}

impl ServiceManager {
    /// The service manager that has started this process, if one has.
    #[must_use]
    pub(crate) fn from_environment() -> Self {
        ServiceManager {
            notifier: Notifier::from_environment(),
            look_at: clock::now(),
            stale: true,
            link: None,
        }
    }

    /// When [`ServiceManager::turn`] has something to do next.
    #[must_use]
    pub(crate) fn next_wake(&self) -> Option<Monotonic> {
        let feeding = self.notifier.feeding_time();
        let looking = (self.stale && self.notifier.is_present()).then_some(self.look_at);
        feeding.into_iter().chain(looking).min()
    }

    /// One turn of core's loop has passed: feeds the watchdog, and says how things stand if they
    /// stand otherwise.
    pub(crate) fn turn(&mut self, machine: &Machine, socket: &Path) {
        self.notifier.feed();
        if !self.notifier.is_present() {
            return;
        }
        let now = clock::now();
        self.stale = true;
        if now < self.look_at && self.link == Some(machine.link()) {
            return;
        }
        self.stale = false;
        self.look_at = now + LOOK_EVERY;
        self.link = Some(machine.link());
        self.notifier.status(&describe(machine, socket));
    }

    /// Tells how far the service has come.
    pub(crate) fn tell(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Ready | Milestone::Reloaded => self.notifier.ready(),
            Milestone::Reloading => self.notifier.reloading(),
            Milestone::Stopping => self.notifier.stopping(),
        }
    }
}

/// How things stand, in one line.
fn describe(machine: &Machine, socket: &Path) -> String {
    let counts = machine.counts();
    let figures = format!(
        "{} peers, {} adopted, {} down, {} gone",
        counts.present, counts.adopted, counts.down, counts.gone
    );
    match machine.link() {
        ServerLink::Up => {
            let trouble = trouble(machine.probing().cause);
            format!("connected to tripe; {figures}{trouble}")
        }
        ServerLink::Joining => "connected to tripe; claiming the service".to_owned(),
        ServerLink::Down if counts.present == 0 => {
            format!("waiting for tripe at {}", socket.display())
        }
        ServerLink::Down => format!("waiting for tripe at {}; {figures}", socket.display()),
    }
}

/// What is overdue, to be added to the line.
const fn trouble(cause: Option<OverdueCause>) -> &'static str {
    match cause {
        None | Some(OverdueCause::ServerDown) => "",
        Some(OverdueCause::PingerSilent) => "; the pinger does not answer",
        Some(OverdueCause::PingerMissing) => "; no pinger is connected",
        Some(OverdueCause::ServerMute) => "; tripe does not answer",
        Some(OverdueCause::HeldUp) => "; catching up",
    }
}
