// SPDX-License-Identifier: GPL-3.0-or-later
//! P16: core has a helper started again only if the helper is dead, or was not there, not connected
//! or suspended within the last 30 s, the time after which a helper counts as silent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// After what time a silent helper is started again, and one second for the restart.
const SILENT: Duration = Duration::from_secs(31);

/// Until when each helper was not there, or did nothing.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    away: BTreeMap<Part, Instant>,
    dead: BTreeMap<Part, bool>,
}

impl Rule for Helpers {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Lives(Part::Core, _) | Seen::Slept(_) => self.both(now.at),
            Seen::Stands(Part::Core, until) => self.both(*until),
            Seen::Stands(part, until) => self.away(*part, *until),
            Seen::Lives(part, _) => {
                self.dead.insert(*part, false);
                self.away(*part, now.at);
            }
            Seen::Died(part) => {
                self.dead.insert(*part, true);
            }
            Seen::Fault(fault) => match fault {
                Fault::CutHelper { part } => self.away(*part, now.at),
                Fault::SecondHelper { part, time } | Fault::NextProtocol { part, time } => {
                    self.away(*part, now.at + *time);
                }
                _ => {}
            },
            Seen::RestartedHelper(part) => {
                let is_dead = self.dead.get(part).copied().unwrap_or_default();
                let since = self.away.get(part).copied().unwrap_or_default();
                if !is_dead && since + SILENT < now.at {
                    let text = format!("{part:?}, which has worked since {since}, was restarted");
                    return Err((Promise::Helpers, text));
                }
                self.away(*part, now.at);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Helpers {
    fn away(&mut self, part: Part, until: Instant) {
        let away = self.away.entry(part).or_default();
        *away = (*away).max(until);
    }

    fn both(&mut self, until: Instant) {
        self.away(Part::Pinger, until);
        self.away(Part::Scripts, until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sight;
    use super::*;

    const RESTARTED: Seen<'_> = Seen::RestartedHelper(Part::Pinger);

    #[test]
    fn a_helper_that_was_suspended_keeps_it() {
        let mut sight = Sight::new::<Helpers>(&[]);
        let until = Instant(100_000_000_000);
        sight.see(Seen::Stands(Part::Pinger, until)).unwrap();
        sight.later(60);
        assert_eq!(sight.see(RESTARTED), Ok(()));
    }

    #[test]
    fn a_helper_that_works_breaks_it() {
        let mut sight = Sight::new::<Helpers>(&[]);
        sight.see(Seen::Lives(Part::Pinger, 1)).unwrap();
        sight.later(60);
        let broken = sight.see(RESTARTED);
        assert!(matches!(broken, Err((Promise::Helpers, _))));
    }
}
