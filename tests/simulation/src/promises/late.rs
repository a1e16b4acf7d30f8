// SPDX-License-Identifier: GPL-3.0-or-later
//! P8: if a check is due and does not come, core reports it, whatever the reason is.
//!
//! The rule looks once a minute, while core is joined, at each watched peer of which core has heard
//! that the server has it. It excuses core only for what core cannot know: core itself was
//! suspended, its host slept, or core has just started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::control::ServerLink;
use peerdb::Database;
use tripe_admin::Note;

use super::records::Longest;
use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::{Seen, View};

/// How late something may be before it must be told: 5 s until it counts as overdue, 1 s between
/// two looks, 1 s of rounding, and one for the way to the server.
const LATE: Duration = Duration::from_secs(8);

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// The answer to a ping.
    Answer,
    /// The next check.
    Check,
    /// The next attempt or, after a failed check, the next one.
    Retry,
}

impl Wait {
    fn longest(self, times: Longest) -> Duration {
        match self {
            Wait::Answer => times.timeout,
            Wait::Check => times.every,
            Wait::Retry => times.pause.max(times.timeout).max(times.every),
        }
    }
}

/// What is waited for of each peer.
#[derive(Debug, Default)]
pub(super) struct Late {
    peers: BTreeMap<String, (Instant, Wait)>,
    /// Until when core was suspended, or was not there.
    held: Instant,
    /// When the pinger came last.
    pinger: Instant,
    /// Until when it was suspended last.
    pinger_stood: Instant,
    /// The database whose peers were looked at last.
    database: Option<Arc<Database>>,
}

impl Rule for Late {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Stands(Part::Core, until) => self.held = self.held.max(*until),
            Seen::Fault(Fault::Suspend { time }) => self.held = self.held.max(now.at + *time),
            Seen::Slept(_) | Seen::Lives(Part::Core, _) => self.held = self.held.max(now.at),
            Seen::Lives(Part::Pinger, _) => self.pinger = now.at,
            Seen::Stands(Part::Pinger, until) => self.pinger_stood = *until,
            Seen::Minute(view) => return self.look(now, view),
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => {
                self.goes_on(now.at, command.word(0), Wait::Answer);
            }
            Some(Fact::Sent(command)) => {
                // What a sabotaged peer replies counts as no answer.
                if let Some([what, peer, ..]) = command.told()
                    && what == "ping-timeout"
                    && let Some((_, wait)) = self.peers.get_mut(peer)
                {
                    *wait = Wait::Retry;
                }
            }
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                match end {
                    End::Reply(_) => {
                        self.goes_on(now.at, command.word(0), Wait::Check);
                    }
                    // It was removed, which may have been told before this ping was read.
                    End::Died => self.removed(command),
                    End::Failed(words) if words.first().is_some_and(|it| it == "unknown-peer") => {
                        self.removed(command);
                    }
                    End::Ok | End::Timeout | End::Failed(_) => {
                        self.goes_on(now.at, command.word(0), Wait::Retry);
                    }
                }
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                self.note(now.at, peer, Wait::Check);
            }
            Some(Fact::Info(command, words)) if command.verb == "LIST" => {
                if let Some(peer) = words.first() {
                    // It may be down since before.
                    self.note(now.at, peer, Wait::Retry);
                }
            }
            Some(Fact::Note(Note::Kill { peer })) => {
                self.peers.remove(peer);
            }
            Some(Fact::Connected | Fact::Lost) => {
                self.peers.clear();
                self.held = self.held.max(now.at);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Late {
    fn note(&mut self, at: Instant, peer: &str, wait: Wait) {
        self.peers.insert(peer.to_owned(), (at, wait));
    }

    /// A ping was sent, or has ended. Its peer may have been removed before the server has read it.
    fn goes_on(&mut self, at: Instant, peer: &str, wait: Wait) {
        if let Some(last) = self.peers.get_mut(peer) {
            *last = (at, wait);
        }
    }

    /// The peer of this ping is not there any more, unless it was added since.
    fn removed(&mut self, ping: &Command) {
        let peer = ping.word(0);
        if self
            .peers
            .get(peer)
            .is_some_and(|(since, _)| *since <= ping.at)
        {
            self.peers.remove(peer);
        }
    }

    fn look(&mut self, now: &Moment<'_>, view: &View<'_>) -> Verdict {
        let file = view.truth.file.as_ref();
        let before = std::mem::replace(&mut self.database, file.cloned());
        let (Some(core), Some(database)) = (view.core, file) else {
            return Ok(());
        };
        if before.is_none_or(|before| !Arc::ptr_eq(&before, database)) {
            self.held = self.held.max(now.at);
        }
        if core.link() != ServerLink::Up || core.overdue_checks().overdue.is_some() {
            return Ok(());
        }
        // Whether a peer is watched is certain if the database has been in use for a while.
        let held = self.held.max(now.calm.database);
        let went_on = Some(self.pinger_stood).filter(|at| *at <= now.at);
        let pinger = self.pinger.max(went_on.unwrap_or_default());
        let late = self.peers.iter().find(|(peer, (since, wait))| {
            let is_watched = database.peer(peer).is_some_and(|it| it.flag("watch"));
            let times = now.checking().longest(peer);
            let mut due = (*since).max(held) + wait.longest(times);
            if now.calm.server >= *since {
                // A ping may have been sent that the server has not read. A pinger that was away
                // sends what was late when it comes, and from then on only the answer is late.
                due = due.max(pinger) + times.timeout;
            }
            is_watched && due + LATE < now.at
        });
        match late {
            None => Ok(()),
            Some((peer, (since, wait))) => {
                let text = format!("{peer} waits for {wait:?} since {since}, and all seems well");
                Err((Promise::NothingLate, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Sight, database, joined, view};
    use super::*;
    use crate::world::Truth;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("watch", "t"), ("every", "30")])];

    fn look(sight: &mut Sight, file: &Arc<Database>) -> Verdict {
        // It has nothing to say about `p`, which its server does not have.
        let core = joined(RECORDS, &[]);
        let truth = Truth {
            file: Some(Arc::clone(file)),
            ..Truth::default()
        };
        view(|view| {
            let core = Some(&core);
            let truth = &truth;
            sight.see(Seen::Minute(View {
                core,
                truth,
                ..view
            }))
        })
    }

    /// A host whose peer was just added.
    fn added() -> (Sight, Arc<Database>) {
        let file = Arc::new(database(RECORDS));
        let mut sight = Sight::new::<Late>(RECORDS);
        assert_eq!(look(&mut sight, &file), Ok(()));
        sight.lines(&["< NOTE ADD p tripe0 INET 198.18.0.1 4070"]);
        (sight, file)
    }

    #[test]
    fn a_check_in_time_keeps_it() {
        let (mut sight, file) = added();
        sight.later(37);
        assert_eq!(look(&mut sight, &file), Ok(()));
        sight.lines(&["> PING -background c0.0 -timeout 10 p"]);
        sight.later(17);
        assert_eq!(look(&mut sight, &file), Ok(()));
    }

    #[test]
    fn a_sabotaged_peer_is_checked_after_the_pause_of_one_that_is_down() {
        for (told, is_late) in [
            (&["> WARN connect ping-timeout p attempt 5 of 5"][..], false),
            (&[], true),
        ] {
            let (mut sight, file) = added();
            sight.later(30);
            sight.lines(&[
                "> PING -background c0.0 -timeout 10 p",
                "< BGDETACH c0.0",
                "< BGINFO c0.0 ping-ok 20.0",
                "< BGOK c0.0",
            ]);
            sight.lines(told);
            sight.later(60);
            assert_eq!(look(&mut sight, &file).is_err(), is_late);
        }
    }

    #[test]
    fn the_end_of_a_ping_brings_no_peer_back() {
        let (mut sight, file) = added();
        sight.lines(&[
            "> PING -background c0.0 -timeout 10 p",
            "< NOTE KILL p",
            "< BGFAIL c0.0 strange-failure",
            "> PING -background c0.1 -timeout 10 p",
            "< BGFAIL c0.1 strange-failure",
        ]);
        sight.later(3_600);
        assert_eq!(look(&mut sight, &file), Ok(()));
    }

    #[test]
    fn what_a_pinger_sent_when_it_came_to_a_server_that_stands_still_is_waited_for() {
        let (mut sight, file) = added();
        sight.later(60);
        let until = Instant::default() + Duration::from_secs(300);
        sight.see(Seen::Stands(Part::Server, until)).unwrap();
        sight.see(Seen::Lives(Part::Pinger, 2)).unwrap();
        sight.later(17);
        assert_eq!(look(&mut sight, &file), Ok(()));
        sight.later(2);
        let broken = look(&mut sight, &file);
        assert!(matches!(broken, Err((Promise::NothingLate, _))));
    }

    #[test]
    fn the_answer_of_a_server_of_whose_end_core_has_not_heard_is_waited_for() {
        let (mut sight, file) = added();
        sight.later(29);
        sight.see(Seen::Died(Part::Server)).unwrap();
        sight.later(18);
        assert_eq!(look(&mut sight, &file), Ok(()));
        sight.later(2);
        let broken = look(&mut sight, &file);
        assert!(matches!(broken, Err((Promise::NothingLate, _))));
    }

    #[test]
    fn a_late_check_of_which_nobody_is_told_breaks_it() {
        let (mut sight, file) = added();
        sight.later(39);
        let broken = look(&mut sight, &file);
        assert!(matches!(broken, Err((Promise::NothingLate, _))));
    }
}
