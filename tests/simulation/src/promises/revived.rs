// SPDX-License-Identifier: GPL-3.0-or-later
//! P20: a peer of the start-up list that was removed for its silence, and whose record has always
//! had `when-dead = retry`, is added again after its pause.
//!
//! The rule looks once a minute, while core is joined. Before an operator adds what is missing in
//! the end, it also asks core whether it will add these peers. It excuses what ends the attempts
//! (docs/reference/record-keys.md): another record of the peer, and a core that begins without what
//! the earlier one knew, also since the server is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_ipc::control::{PeerState, ServerLink};
use tripe_admin::Note;

use super::tap::{Command, End, Fact};
use super::unwritten::WRITTEN;
use super::{Moment, Rule, Verdict, ask};
use crate::instant::Instant;
use crate::plan::{DatabaseChange, Fault, Kept, Part};
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How late the peer may be added. A random part of up to a quarter belongs to the pause, and what
/// is later than that is reported elsewhere.
const LATE: Duration = Duration::from_secs(120);

/// How long after the last fault the rule asks core: a minute before an operator adds what is
/// missing.
const ASKS_AFTER: Duration = Duration::from_secs(14 * 60);

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
    /// How often a server was started.
    servers: u32,
    /// Which of them core has connected to last.
    connected: u32,
    /// Which of them core has joined last, and when.
    met: (u32, Instant),
    /// The peers whose record may not be that of the site.
    foreign: BTreeSet<String>,
    /// Whether the database may be that of another site.
    is_of_other_site: bool,
    /// Whether there may be no database that can be read: core uses an earlier one, if it has one.
    is_unreadable: bool,
    /// Whether the site's database was put in place for the end.
    is_quiet: bool,
    /// Whether core was asked.
    has_asked: bool,
}

impl Rule for Revived {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        if !self.is_quiet && now.at >= now.records.quiet_from {
            self.is_quiet = true;
            self.changed(&DatabaseChange::Back);
        }
        match now.seen {
            Seen::Stands(_, until) => self.held = self.held.max(*until),
            Seen::Slept(_) => self.held = self.held.max(now.at),
            Seen::Displaced { by_newer: true } => self.lose(),
            Seen::Fault(fault) => self.disturbed(fault),
            Seen::Lives(Part::Server, _) => self.servers += 1,
            Seen::Died(Part::Core) => {
                // The state may be about another run of the server, or about one that core could
                // not tell.
                let (_, joined_at) = self.met;
                let is_of_another = now.at < joined_at + WRITTEN;
                let is_lost =
                    std::mem::take(&mut self.is_lost) || self.is_uncertain || is_of_another;
                // A state from before the removal says that the server has the peer, and the next
                // core misses it.
                if is_lost || self.is_unreadable || !now.records.keeps_state {
                    self.owed.clear();
                }
            }
            Seen::Lives(Part::Core, _) => {
                self.has_only_state = true;
                if self.is_unreadable {
                    self.owed.clear();
                }
            }
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
            Some(fact @ (Fact::Connected | Fact::Lost)) => {
                if *fact == Fact::Connected {
                    self.connected = self.servers;
                }
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
            Some(Fact::Ended(command, _)) if command.verb == "LIST" => self.joined(now),
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
    /// Core has joined a server. Nothing follows for it from a state that is about another one,
    /// but what `--startup` stands for is done.
    fn joined(&mut self, now: &Moment<'_>) {
        let has_only_state = std::mem::take(&mut self.has_only_state);
        let (server, _) = self.met;
        if server != self.connected {
            if has_only_state && !now.records.startup {
                self.owed.clear();
            }
            self.met = (self.connected, now.at);
        }
    }

    /// The next core knows nothing of what this one has removed.
    fn lose(&mut self) {
        self.is_lost = true;
        self.owed.clear();
    }

    fn disturbed(&mut self, fault: &Fault) {
        match fault {
            Fault::Database { change } => self.changed(change),
            Fault::Reboot {} => self.lose(),
            Fault::Kill { state, .. } if *state != Kept::Last => self.is_lost = true,
            _ => {}
        }
    }

    /// The database is another one. Nothing is owed for a peer whose record is not the site's.
    fn changed(&mut self, change: &DatabaseChange) {
        // What cannot be read is followed by the site's, with a change.
        let was_unreadable = std::mem::take(&mut self.is_unreadable);
        if was_unreadable || *change == DatabaseChange::Back {
            (self.is_of_other_site, self.foreign) = (false, BTreeSet::new());
        }
        match change {
            DatabaseChange::Record { peer, .. }
            | DatabaseChange::Unwatched(peer, _)
            | DatabaseChange::Removed(peer)
            | DatabaseChange::New(peer) => {
                self.owed.remove(peer);
                self.foreign.insert(peer.clone());
            }
            DatabaseChange::OfOtherSite => {
                self.owed.clear();
                self.is_of_other_site = true;
            }
            DatabaseChange::Broken | DatabaseChange::Missing => self.is_unreadable = true,
            DatabaseChange::Back => {}
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
                let is_foreign = self.is_of_other_site
                    || self.is_unreadable
                    || self.foreign.contains(peer)
                    || now.at < now.calm.database;
                if told == Some(now.at) && !is_foreign && now.records.comes_back(peer) {
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

    fn look(&mut self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        let Some(core) = view.core.filter(|core| core.link() == ServerLink::Up) else {
            return Ok(());
        };
        if !self.has_asked && now.at >= now.records.quiet_from + ASKS_AFTER {
            self.has_asked = true;
            let mut settled = self
                .owed
                .iter()
                .filter(|(_, since)| (**since).max(self.held).max(now.calm.since) + LATE < now.at);
            let given_up = settled.find(|(peer, _)| {
                let status = ask::peer(core, view.now, peer).and_then(|peer| peer.status);
                !status.is_some_and(|it| {
                    it.state == PeerState::Adding || it.connection.next_add_ms.is_some()
                })
            });
            if let Some((peer, since)) = given_up {
                let text = format!("{peer} was removed at {since}, and core will not add it");
                return Err((Promise::Revived, text));
            }
        }
        let late = self.owed.iter().find(|(peer, since)| {
            let pause = now.checking().longest(peer).pause;
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
            sight.later(60);
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
    fn a_core_that_begins_at_another_server_does_not_know_of_it() {
        for (begins, restarts) in [(false, true), (true, true), (true, false)] {
            let mut sight = removed(false);
            sight.later(60);
            if begins {
                sight.see(Seen::Died(Part::Core)).unwrap();
                sight.see(Seen::Lives(Part::Core, 2)).unwrap();
            }
            sight.see(Seen::Ended(CORE)).unwrap();
            if restarts {
                sight.see(Seen::Lives(Part::Server, 2)).unwrap();
            }
            sight.see(Seen::Opened(CORE, Who::Core(2))).unwrap();
            assert_eq!(sight.lines(&["> LIST", "< OK"]), None);
            let told = look_after(3_600, &mut sight);
            assert_eq!(told.is_ok(), begins && restarts, "{told:?}");
        }
    }

    /// What is said of a peer that stays away after these changes of the database.
    fn changed(changes: &[DatabaseChange]) -> Verdict {
        let mut sight = removed(false);
        for change in changes {
            let change = change.clone();
            sight.see(Seen::Fault(&Fault::Database { change })).unwrap();
        }
        look_after(36_000, &mut sight)
    }

    #[test]
    fn a_record_that_stays_the_same_is_no_excuse_for_a_peer_that_stays_away() {
        let record = |peer: &str| DatabaseChange::Record {
            peer: peer.to_owned(),
            key: "keepalive".to_owned(),
            value: None,
        };
        let new = || DatabaseChange::New("new0".to_owned());
        for changes in [
            vec![record("q"), new(), DatabaseChange::Back],
            vec![DatabaseChange::Broken, DatabaseChange::Missing],
        ] {
            let told = changed(&changes);
            assert!(matches!(told, Err((Promise::Revived, _))), "{changes:?}");
        }
        let gone = DatabaseChange::Removed("p".to_owned());
        for change in [record("p"), gone, DatabaseChange::OfOtherSite] {
            assert_eq!(changed(&[change, DatabaseChange::Back]), Ok(()));
        }
    }

    #[test]
    fn a_peer_that_core_has_given_up_breaks_it_before_somebody_else_adds_it() {
        let told = look_after(900, &mut removed(false));
        let will_not = |text: &str| text.ends_with("core will not add it");
        assert!(matches!(&told, Err((Promise::Revived, text)) if will_not(text)));
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
