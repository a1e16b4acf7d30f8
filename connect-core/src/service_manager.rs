// SPDX-License-Identifier: GPL-3.0-or-later
//! What the service manager is told, and when.

use std::path::Path;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::overdue::OverdueCause;
use connect_runtime::clock;
use connect_runtime::notifier::Notifier;

use crate::machine::{Machine, Milestone};

/// How often the status is updated, so that `systemctl status` never shows an older one, and core
/// does not count thousands of peers in each turn.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Core's connection to the service manager.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    notifier: Notifier,
    /// When the state is looked at next.
    look_at: Monotonic,
    /// Whether a turn has passed since it was looked at.
    stale: bool,
    /// The state of the connection to the server at that time.
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

    /// One turn of core's loop has passed: notifies the watchdog, and sends the status if it has
    /// changed.
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

    /// Reports a milestone of the service.
    pub(crate) fn tell(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Ready | Milestone::Reloaded => self.notifier.ready(),
            Milestone::Reloading => self.notifier.reloading(),
            Milestone::Stopping => self.notifier.stopping(),
        }
    }
}

/// The status, in one line.
fn describe(machine: &Machine, socket: &Path) -> String {
    let counts = machine.counts();
    let plural = if counts.present == 1 { "" } else { "s" };
    let figures = format!(
        "{} peer{plural}, {} adopted, {} down, {} gone",
        counts.present, counts.adopted, counts.down, counts.gone
    );
    match machine.link() {
        ServerLink::Up => {
            let overdue = overdue(machine.overdue_checks().cause);
            format!("connected to tripe; {figures}{overdue}")
        }
        ServerLink::Joining => "connected to tripe; claiming the service".to_owned(),
        ServerLink::Down if counts.present == 0 => {
            format!("waiting for tripe at {}", socket.display())
        }
        ServerLink::Down => format!("waiting for tripe at {}; {figures}", socket.display()),
    }
}

/// What is overdue, to be added to the line.
const fn overdue(cause: Option<OverdueCause>) -> &'static str {
    match cause {
        None | Some(OverdueCause::ServerDown) => "",
        Some(OverdueCause::PingerSilent) => "; the pinger does not answer",
        Some(OverdueCause::PingerMissing) => "; no pinger is connected",
        Some(OverdueCause::ServerSilent) => "; tripe does not answer",
        Some(OverdueCause::HeldUp) => "; catching up",
    }
}
