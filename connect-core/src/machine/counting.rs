// SPDX-License-Identifier: GPL-3.0-or-later
//! Counts what core has begun and not ended: each part counts its own.

use super::Machine;
use super::backlog::Backlog;
use super::changes::Applying;

impl Machine {
    /// How much core has begun and not ended. It goes through all runs.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let (jobs, held) = self.commands.counts();
        let (additions, greetings) = self.additions.counts();
        let applying = self.additions.applying.as_ref();
        let (pings_queued, for_pinger) = self.pinger.counts();
        Backlog {
            held,
            jobs,
            additions,
            greetings,
            applying: applying.map_or(0, Applying::left),
            at_server: self.server.session.outstanding(),
            pings_queued: pings_queued + self.pinger.asked(),
            for_pinger,
            runs: usize::try_from(self.scripts.pending()).unwrap_or(usize::MAX),
            orders_untaken: self.scripts.untaken(),
            undecided: self.scripts.recovery.undecided(),
            readers: self.events.observing.readers(),
        }
    }
}
