// SPDX-License-Identifier: GPL-3.0-or-later
//! P20: a peer of the start-up list that was removed for its silence, and whose record has always
//! had `when-dead = retry`, is added again after its pause.
//!
//! The rule looks once a minute, while core is joined. It excuses what ends the attempts
//! (docs/guide/operators.md): another database, and a core that begins without what the earlier one
//! knew.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::control::ServerLink;
use tripe_admin::Note;

use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{DatabaseChange, Fault, Kept, Part};
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How late the peer may be added. A random part of up to a quarter belongs to the pause, and what
/// is later than that is reported elsewhere.
const LATE: Duration = Duration::from_secs(120);

/// The peers that are to be added again.
#[derive(Debug, Default)]
pub(super) struct Revived {
    /// The peers of which core has told that the last attempt had no reply.
    unreachable: BTreeMap<String, Instant>,
    /// Since when each peer is owed an `ADD`.
    owed: BTreeMap<String, Instant>,
    /// Until when core, or its way to the server, was not as it should be.
    held: Instant,
    /// Whether the next core finds another state than the last one.
    is_lost: bool,
    /// Whether core cannot tell which run of the server it has joined: nothing follows from the
    /// state that it writes.
    is_uncertain: bool,
    /// Whether core knows only what its state says, of which nothing follows for a server that it
    /// cannot tell.
    has_only_state: bool,
    /// Whether core has a database that is not that of the site.
    is_foreign: bool,
}

impl Rule for Revived {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Stands(_, until) => self.held = self.held.max(*until),
            Seen::Slept(_) => self.held = self.held.max(now.at),
            Seen::Fault(fault) => self.disturbed(fault),
            Seen::Died(Part::Core) => {
                let is_lost = std::mem::take(&mut self.is_lost) || self.is_uncertain;
                // A state from before the removal says that the server has the peer, and the next
                // core misses it.
                if is_lost || !now.records.keeps_state {
                    self.owed.clear();
                }
            }
            Seen::Lives(Part::Core, _) => self.has_only_state = true,
            Seen::Uncertain => {
                self.is_uncertain = true;
                if self.has_only_state {
                    self.owed.clear();
                }
            }
            Seen::Minute(view) => return self.look(now, view),
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) => self.sent(now, command),
            // Somebody else may have removed it since, or the server was started again.
            Some(Fact::Connected | Fact::Lost) => {
                self.is_uncertain = false;
                self.unreachable.clear();
                self.held = self.held.max(now.at);
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                self.unreachable.remove(peer);
                self.owed.remove(peer);
            }
            // Somebody else has added it while core was not there.
            Some(Fact::Info(command, words)) if command.verb == "LIST" => {
                if let Some(peer) = words.first() {
                    self.owed.remove(peer);
                }
            }
            Some(Fact::Ended(command, _)) if command.verb == "LIST" => self.has_only_state = false,
            // The server still has the peer, or has not had it any more.
            Some(Fact::Ended(command, End::Failed(_))) if command.verb == "KILL" => {
                self.owed.remove(command.word(0));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Revived {
    fn disturbed(&mut self, fault: &Fault) {
        match fault {
            Fault::Database { change } => {
                self.is_foreign = *change != DatabaseChange::Back;
                self.owed.clear();
            }
            Fault::Displace { .. } | Fault::Reboot {} => {
                self.is_lost = true;
                self.owed.clear();
            }
            Fault::Kill { state, .. } if *state != Kept::Last => self.is_lost = true,
            _ => {}
        }
    }

    fn sent(&mut self, now: &Moment<'_>, command: &Command) {
        if let Some(told) = command.told() {
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            match told.as_slice() {
                ["ping-timeout", peer, "attempt", attempt, "of", of] if attempt == of => {
                    self.unreachable.insert((*peer).to_owned(), now.at);
                }
                ["ping-ok", peer] => {
                    self.unreachable.remove(*peer);
                }
                _ => {}
            }
            return;
        }
        let peer = command.word(0);
        match command.verb.as_str() {
            "KILL" => {
                let told = self.unreachable.remove(peer);
                // What is removed later is so for another reason.
                if told == Some(now.at) && !self.is_foreign && now.records.comes_back(peer) {
                    self.owed.insert(peer.to_owned(), now.at);
                }
            }
            // If it fails, whoever has wanted it, the next attempt has a pause of its own.
            "ADD" => {
                if let Some(since) = self.owed.get_mut(peer) {
                    *since = now.at;
                }
            }
            _ => {}
        }
    }

    fn look(&self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        let is_joined = view.core.is_some_and(|core| core.link() == ServerLink::Up);
        if !is_joined {
            return Ok(());
        }
        let late = self.owed.iter().find(|(peer, since)| {
            let pause = now.records.longest(peer).pause;
            (**since).max(self.held).max(now.calm.since) + pause + pause / 4 + LATE < now.at
        });
        late.map_or(Ok(()), |(peer, since)| {
            let text = format!("{peer} was removed at {since}, and is not added again");
            Err((Promise::Revived, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{CORE, Sight, database, joined, plan, view};
    use super::*;
    use crate::seen::Who;
    use crate::world::Truth;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[(
        "p",
        &[("watch", "t"), ("every", "30"), ("when-dead", "retry")],
    )];

    /// A host that has seen its peer come to be silent, and be removed for that.
    fn removed(is_uncertain: bool) -> Sight {
        let mut plan = plan(RECORDS, Vec::new());
        plan.site.hosts[0].auto = vec!["p".to_owned()];
        plan.site.hosts[0].keeps_state = true;
        let mut sight = Sight::of::<Revived>(&plan);
        assert_eq!(sight.lines(&["> LIST", "< INFO p", "< OK"]), None);
        if is_uncertain {
            sight.see(Seen::Uncertain).unwrap();
        }
        let told = "WARN connect ping-timeout p attempt 1 of 1";
        sight.see(Seen::Wrote(CORE, told)).unwrap();
        // Core writes both in one turn, and the server reads them at the same instant.
        sight.at_once(Seen::Wrote(CORE, "KILL p")).unwrap();
        sight
    }

    /// What is said after so many seconds in which a peer that was silent is away, and these lines.
    fn after(seconds: u64, lines: &[&str]) -> Verdict {
        let mut sight = removed(false);
        assert_eq!(sight.lines(lines), None);
        look_after(seconds, &mut sight)
    }

    fn look_after(seconds: u64, sight: &mut Sight) -> Verdict {
        sight.later(seconds);
        let core = joined(RECORDS, &[]);
        let truth = Truth {
            file: Some(Arc::new(database(RECORDS))),
            ..Truth::default()
        };
        view(|view| {
            let (core, truth) = (Some(&core), &truth);
            sight.see(Seen::Minute(View {
                core,
                truth,
                ..view
            }))
        })
    }

    #[test]
    fn a_peer_that_is_added_again_in_its_time_keeps_it() {
        assert_eq!(after(200, &[]), Ok(()));
        let added = [
            "> ADD -background c0.0 p INET 198.18.0.1 4070",
            "< NOTE ADD p tripe0 INET 198.18.0.1 4070",
        ];
        assert_eq!(after(3_600, &added), Ok(()));
        // It was told, and is not removed.
        assert_eq!(after(3_600, &["< OK", "< FAIL not-now"]), Ok(()));
    }

    #[test]
    fn the_next_core_knows_of_it_if_the_last_one_could_write_a_state() {
        for is_uncertain in [false, true] {
            let mut sight = removed(is_uncertain);
            sight.see(Seen::Died(Part::Core)).unwrap();
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Lives(Part::Core, 2)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            let told = look_after(3_600, &mut sight);
            assert_eq!(told.is_ok(), is_uncertain, "{told:?}");
        }
    }

    #[test]
    fn a_core_that_begins_at_a_server_that_it_cannot_tell_does_not_know_of_it() {
        for has_begun in [true, false] {
            let mut sight = removed(false);
            if has_begun {
                sight.see(Seen::Died(Part::Core)).unwrap();
                sight.see(Seen::Lives(Part::Core, 2)).unwrap();
            }
            sight.see(Seen::Ended(CORE)).unwrap();
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            sight.see(Seen::Uncertain).unwrap();
            assert_eq!(sight.lines(&["> LIST", "< OK"]), None);
            let told = look_after(3_600, &mut sight);
            assert_eq!(told.is_ok(), has_begun, "{told:?}");
        }
    }

    #[test]
    fn a_peer_that_stays_away_breaks_it() {
        // The attempt may be an operator's.
        let failed = [
            "> ADD -background c0.0 p INET 198.18.0.1 4070",
            "< BGDETACH c0.0",
            "< BGFAIL c0.0 resolve-error p",
        ];
        for lines in [&[][..], &failed] {
            let broken = after(36_000, lines);
            assert!(matches!(broken, Err((Promise::Revived, _))), "{broken:?}");
        }
    }
}
