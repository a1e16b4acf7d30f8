// SPDX-License-Identifier: GPL-3.0-or-later
//! P7: attempts of a check follow each other from 1 to the last without gap; after the last, and
//! only then, the peer is killed or reconnected; a reply after attempts or checks that failed is
//! reported, and no other. The rule does not judge when an attempt begins.
//!
//! The rule forgets what it knows of a peer when core ends or the connection is lost, since pings
//! in flight are void then, and when the database changes, since that may end and begin the watch.
//! A failure that is told of a peer that was not pinged yet is of the one that had its name before.
//!
//! A `KILL` may have other causes, which P10 judges. Here it counts as the end of a check if it is
//! what core says next after a failed attempt, and core has heard of nothing else meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_ipc::control::Request;
use tripe_admin::Note;

use super::calm::ON_ITS_WAY;
use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::Part;
use crate::promise::Promise;
use crate::seen::Seen;

/// How long after a result what follows from it has come at the latest, if nothing was suspended.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What core has to do next about a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owed {
    /// To tell that it answers again.
    Recovery,
    /// To kill or reconnect it.
    Action,
}

/// How far the checks of a peer are, and what core has to do next.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Failed attempts of this check.
    failed: u32,
    /// How many there may be, as told last.
    of: Option<u32>,
    /// Whether the check before has failed.
    down: bool,
    /// Since when all this is known.
    known: Option<Instant>,
    /// When it last replied.
    replied: Option<Instant>,
    /// Whether its replies count as lost.
    sabotaged: bool,
    /// When its last ping that failed has ended.
    missed: Option<Instant>,
    owed: Option<(Instant, Owed)>,
}

impl Standing {
    /// Nothing is known any more.
    fn forget(&mut self) {
        (self.failed, self.down, self.known, self.owed) = (0, false, None, None);
    }

    /// A check has ended well.
    fn is_up(&mut self) {
        (self.failed, self.down, self.owed) = (0, false, None);
    }

    /// Whether fewer attempts have failed than any check has.
    fn is_short(&self, retries: &BTreeSet<u32>) -> bool {
        let least = retries.first().copied().unwrap_or(1);
        self.known.is_some() && self.failed < self.of.unwrap_or(least).min(least)
    }
}

/// The standing of each peer.
#[derive(Debug, Default)]
pub(super) struct Checks {
    peers: BTreeMap<String, Standing>,
    /// Names whose peer was added or removed, and was not pinged since.
    unasked: BTreeSet<String>,
    /// When core has last heard of something else than a ping.
    stirred: Instant,
    /// The peer of which core has just said that an attempt has failed.
    told: Option<String>,
}

impl Rule for Checks {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Died(Part::Core) => self.forget(),
            Seen::Asked(_, envelope) => {
                if let Request::Submit { words } = &envelope.request {
                    self.command(words);
                }
                self.stirred = now.at;
            }
            Seen::LookedUp(..) => self.stirred = now.at,
            Seen::Minute(_) | Seen::End(_) => return self.look(now),
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) => return self.sent(now, command),
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                self.ping_ended(now.at, command.word(0), end);
                return Ok(());
            }
            // It also hears that what it has said was passed on.
            Some(Fact::Ended(command, _)) if command.told().is_some() => {}
            Some(Fact::Info(command, _)) if command.is_ping() => {}
            Some(_) => self.stirred = now.at,
            None => {}
        }
        match now.fact {
            Some(Fact::Note(Note::Add { peer, .. } | Note::Kill { peer })) => {
                self.peers.remove(peer);
                self.unasked.insert(peer.clone());
            }
            Some(Fact::Job(_, words)) => self.command(words),
            Some(Fact::Connected | Fact::Lost) => self.forget(),
            _ => {}
        }
        Ok(())
    }
}

impl Checks {
    fn forget(&mut self) {
        self.peers.values_mut().for_each(Standing::forget);
    }

    fn of(&mut self, peer: &str) -> &mut Standing {
        self.peers.entry(peer.to_owned()).or_default()
    }

    fn command(&mut self, words: &[String]) {
        if let [name, peer] = words
            && name.eq_ignore_ascii_case("sabotage")
        {
            self.of(peer).sabotaged = true;
        }
    }

    fn ping_ended(&mut self, at: Instant, peer: &str, end: &End) {
        let standing = self.of(peer);
        if standing.sabotaged || !matches!(end, End::Reply(_)) {
            standing.missed = Some(at);
            return;
        }
        standing.replied = Some(at);
        // Attempts may have been seen to fail although it is not known what was before them.
        if standing.failed > 0 || standing.down {
            standing.owed = Some((at, Owed::Recovery));
        } else {
            standing.known.get_or_insert(at);
        }
    }

    fn sent(&mut self, now: &Moment<'_>, command: &Command) -> Verdict {
        if now.at <= now.calm.database {
            self.forget();
        }
        let told = self.told.take();
        if command.verb == "KILL" {
            self.killed(now, command.word(0), told)?;
            // If the server refuses it, the peer stays as it is.
            let standing = self.of(command.word(0));
            standing.is_up();
            standing.forget();
        }
        if command.is_ping() {
            self.unasked.remove(command.word(0));
        }
        let Some(told) = command.told() else {
            return Ok(());
        };
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        if let ["ping-timeout" | "ping-failed", peer, ..] = told.as_slice() {
            self.told = Some((*peer).to_owned());
        }
        match told.as_slice() {
            ["ping-timeout" | "ping-failed", peer, ..] if self.unasked.contains(*peer) => Ok(()),
            ["ping-timeout", peer, "attempt", attempt, "of", of] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                self.missed(now, peer, number(attempt), number(of))
            }
            ["ping-failed", peer, "unknown-peer", ..] => {
                self.peers.remove(*peer);
                Ok(())
            }
            ["ping-failed", peer, ..] => {
                self.failed(now, peer);
                Ok(())
            }
            ["ping-ok", peer] => self.recovered(now, peer),
            ["reconnecting", peer] => self.reconnecting(now, peer),
            _ => Ok(()),
        }
    }

    fn missed(&mut self, now: &Moment<'_>, peer: &str, attempt: u32, of: u32) -> Verdict {
        let retries = now.checking().retries(peer);
        let is_known = now.in_use.records(now.calm).is_some();
        // The longest check that may have been under way when the database was changed.
        let most = now.records.retries(peer).last().copied().unwrap_or(1);
        let check = now.records.longest(peer).timeout * (most + 1);
        let is_settled = now.in_use.has_lasted(now, check);
        let standing = self.of(peer);
        let told = format!("ping-timeout {peer} attempt {attempt} of {of}");
        // A record may have come to say less than what has failed already.
        let is_beyond = attempt > of && (is_settled || now.records.retries(peer).len() < 2);
        if attempt == 0 || is_beyond {
            return broken(told);
        }
        if !retries.contains(&of) && (is_known || !now.records.may_be_foreign) {
            return broken(format!("{told}, but no record says {of}"));
        }
        if standing.known.is_some() && attempt != standing.failed + 1 {
            return broken(format!("{told} after {} failed", standing.failed));
        }
        standing.failed = attempt;
        standing.of = Some(of);
        standing.known.get_or_insert(now.at);
        standing.owed = (attempt >= of).then_some((now.at, Owed::Action));
        Ok(())
    }

    /// A ping could not be sent, which is a failed attempt too.
    fn failed(&mut self, now: &Moment<'_>, peer: &str) {
        let retries = now.checking().retries(peer);
        let standing = self.of(peer);
        standing.failed += 1;
        if standing.known.is_some() && retries.iter().all(|of| standing.failed >= *of) {
            standing.owed = Some((now.at, Owed::Action));
        }
    }

    fn recovered(&mut self, now: &Moment<'_>, peer: &str) -> Verdict {
        let standing = self.of(peer);
        let has_failed = standing.failed > 0 || standing.down;
        // A host may be suspended between a reply and the line that tells it, so it must have been
        // known before that reply.
        let is_certain = standing.known.is_some_and(|since| {
            let is_before = standing.replied.is_none_or(|replied| since < replied);
            is_before && since + AT_ONCE < now.at && now.calm.server < since
        });
        if !has_failed && is_certain {
            return broken(format!("ping-ok {peer} without a failure before"));
        }
        standing.is_up();
        Ok(())
    }

    fn reconnecting(&mut self, now: &Moment<'_>, peer: &str) -> Verdict {
        let retries = now.checking().retries(peer);
        let standing = self.of(peer);
        if standing.is_short(retries) {
            let failed = standing.failed;
            return broken(format!(
                "reconnecting {peer} after {failed} failed attempts"
            ));
        }
        *standing = Standing {
            down: true,
            known: standing.known,
            ..Standing::default()
        };
        Ok(())
    }

    /// A peer is removed, just after `told` was said to have missed an attempt.
    fn killed(&mut self, now: &Moment<'_>, peer: &str, told: Option<String>) -> Verdict {
        let (stirred, retries) = (self.stirred, now.checking().retries(peer));
        let standing = self.of(peer);
        let follows = told.is_some_and(|told| told == peer)
            && standing
                .missed
                .is_some_and(|missed| stirred < missed && now.at <= missed + ON_ITS_WAY);
        if follows && standing.is_short(retries) {
            let failed = standing.failed;
            return broken(format!("KILL {peer} after {failed} failed attempts"));
        }
        Ok(())
    }

    fn look(&self, now: &Moment<'_>) -> Verdict {
        let late = self.peers.iter().find_map(|(peer, standing)| {
            let (since, owed) = standing.owed?;
            let is_late = since + AT_ONCE < now.at && now.calm.since < since;
            let is_read = now.calm.database < since;
            (is_late && is_read && now.tap.is_connected()).then_some((peer, since, owed))
        });
        match late {
            None => Ok(()),
            Some((peer, since, Owed::Recovery)) => broken(format!(
                "{peer} has answered at {since} after a failure, and no ping-ok came"
            )),
            Some((peer, since, Owed::Action)) => broken(format!(
                "the last attempt for {peer} has failed at {since}, and it was neither killed nor \
                 reconnected"
            )),
        }
    }
}

fn broken(text: String) -> Verdict {
    Err((Promise::Checks, text))
}

#[cfg(test)]
mod tests {
    use peerdb::Database;

    use super::super::testing::{Sight, database, plan, view};
    use super::*;
    use crate::plan::{DatabaseChange, Fault, HostId, Timed, When};

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("retries", "2"), ("connect", "x")])];
    const BROKEN: Option<Promise> = Some(Promise::Checks);

    fn ping(tag: &str, end: &str) -> Vec<String> {
        vec![
            format!("> PING -background {tag} -timeout 10 p"),
            format!("< BGDETACH {tag}"),
            format!("< BGINFO {tag} {end}"),
            format!("< BGOK {tag}"),
        ]
    }

    fn timeout(attempt: u32) -> String {
        format!("> WARN connect ping-timeout p attempt {attempt} of 2")
    }

    /// A host whose peer has answered twice.
    fn up() -> Sight {
        let mut sight = Sight::new::<Checks>(RECORDS);
        for tag in ["c0.0", "c0.9"] {
            assert_eq!(lines(&mut sight, &ping(tag, "ping-ok 1.0")), None);
            sight.later(10);
        }
        sight
    }

    fn lines(sight: &mut Sight, lines: &[String]) -> Option<Promise> {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        sight.lines(&lines)
    }

    #[test]
    fn a_check_that_fails_and_a_recovery_keep_it() {
        let mut sight = up();
        for attempt in [1, 2] {
            lines(&mut sight, &ping("c0.1", "ping-timeout"));
            let told = [timeout(attempt), "< OK".to_owned()];
            assert_eq!(lines(&mut sight, &told), None);
        }
        let action = ["> WARN connect reconnecting p", "< OK"];
        assert_eq!(sight.lines(&action), None);
        sight.later(30);
        lines(&mut sight, &ping("c0.2", "ping-ok 1.0"));
        assert_eq!(sight.lines(&["> WARN connect ping-ok p"]), None);
        sight.later(60);
        view(|view| assert_eq!(sight.see(Seen::Minute(view)), Ok(())));
    }

    #[test]
    fn a_recovery_may_be_from_what_was_before_all_that_is_known() {
        let mut sight = Sight::new::<Checks>(RECORDS);
        lines(&mut sight, &ping("c0.0", "ping-ok 1.0"));
        sight.later(60);
        assert_eq!(sight.lines(&["> WARN connect ping-ok p"]), None);
    }

    /// A host may be suspended between the reply and the line that tells it.
    #[test]
    fn a_recovery_from_the_first_that_is_seen_of_a_peer_is_told_however_late() {
        let mut sight = Sight::new::<Checks>(RECORDS);
        let refused = "> NOTIFY connect ping-failed p peer-create-fail";
        assert_eq!(sight.lines(&[refused]), None);
        lines(&mut sight, &ping("c0.0", "ping-ok 1.0"));
        sight.later(60);
        assert_eq!(sight.lines(&["> WARN connect ping-ok p"]), None);
    }

    /// The server may refuse a ping, remove its peer and add another before core tells the first.
    #[test]
    fn a_failure_of_the_peer_that_had_the_name_before_is_not_counted() {
        for told in ["> NOTIFY connect ping-failed p resolve-error", &timeout(1)] {
            let mut sight = up();
            sight.lines(&[
                "< NOTE KILL p",
                "< NOTE ADD p tripe0 INET 198.18.0.3 4070",
                told,
            ]);
            sight.later(30);
            lines(&mut sight, &ping("c0.1", "ping-ok 1.0"));
            sight.later(10);
            view(|view| assert_eq!(sight.see(Seen::Minute(view)), Ok(())));
        }
    }

    #[test]
    fn attempts_with_a_gap_or_one_too_many_break_it() {
        assert_eq!(lines(&mut up(), &[timeout(2)]), BROKEN);
        assert_eq!(lines(&mut up(), &[timeout(1), timeout(1)]), BROKEN);
        let three = "> WARN connect ping-timeout p attempt 3 of 2";
        assert_eq!(up().lines(&[three]), BROKEN);
        let other = "> WARN connect ping-timeout p attempt 1 of 3";
        assert_eq!(up().lines(&[other]), BROKEN);
    }

    /// A host whose records change so, after its database has been the same for a while.
    fn changed(change: DatabaseChange, database: Database) -> Sight {
        let at = Instant(0);
        let fault = Fault::Database { change };
        let timed = Timed {
            host: HostId(0),
            at,
            fault,
            when: When::Now,
        };
        let mut sight = Sight::of::<Checks>(&plan(RECORDS, vec![timed]));
        sight.later(200);
        sight.minute(database).unwrap();
        sight
    }

    fn fewer() -> DatabaseChange {
        DatabaseChange::Record {
            peer: "p".to_owned(),
            key: "retries".to_owned(),
            value: Some("1".to_owned()),
        }
    }

    #[test]
    fn a_record_may_come_to_allow_less_than_has_failed() {
        let one = || database(&[("p", &[("retries", "1"), ("connect", "x")])]);
        let told = "> WARN connect ping-timeout p attempt 2 of 1";
        assert_eq!(changed(fewer(), one()).lines(&[told]), None);
    }

    #[test]
    fn the_record_in_use_counts_whatever_else_the_database_was() {
        let two = || database(RECORDS);
        let told = "> WARN connect ping-timeout p attempt 1 of 1";
        for change in [fewer(), DatabaseChange::OfOtherSite] {
            assert_eq!(changed(change, two()).lines(&[told]), BROKEN);
        }
    }

    /// A ping that the server refuses, and what core says then.
    const REFUSED: [&str; 4] = [
        "> PING -background c0.1 -timeout 10 p",
        "< FAIL peer-create-fail",
        "> NOTIFY connect ping-failed p peer-create-fail",
        "< OK",
    ];

    #[test]
    fn a_peer_that_is_killed_before_the_last_attempt_breaks_it() {
        let mut sight = up();
        assert_eq!(sight.lines(&REFUSED), None);
        assert_eq!(sight.lines(&["> KILL p"]), BROKEN);
        let mut sight = up();
        for _ in 0..2 {
            assert_eq!(sight.lines(&REFUSED), None);
        }
        assert_eq!(sight.lines(&["> KILL p"]), None);
    }

    #[test]
    fn a_kill_that_has_another_cause_keeps_it() {
        for between in [
            "< SVCJOB J1 connect active p",
            "< NOTE KNOCK p INET 198.18.0.1 4070",
            "> WARN connect ping-timeout q attempt 1 of 5",
        ] {
            let mut sight = up();
            assert_eq!(sight.lines(&REFUSED), None);
            assert_eq!(sight.lines(&[between, "> KILL p"]), None, "{between}");
        }
        let mut sight = up();
        assert_eq!(sight.lines(&REFUSED), None);
        sight.later(1);
        assert_eq!(sight.lines(&["> KILL p"]), None);
    }

    #[test]
    fn what_does_not_follow_breaks_it() {
        let look = |mut sight: Sight| {
            sight.later(10);
            view(|view| sight.see(Seen::Minute(view)))
        };
        let mut sight = up();
        lines(&mut sight, &[timeout(1), timeout(2)]);
        assert!(look(sight).is_err(), "neither killed nor reconnected");
        let mut sight = up();
        lines(&mut sight, &[timeout(1), "< OK".to_owned()]);
        lines(&mut sight, &ping("c0.1", "ping-ok 1.0"));
        assert!(look(sight).is_err(), "no ping-ok");
        assert_eq!(up().lines(&["> WARN connect ping-ok p"]), BROKEN);
        let mut sight = up();
        let early = [timeout(1), "> WARN connect reconnecting p".to_owned()];
        assert_eq!(lines(&mut sight, &early), BROKEN);
    }
}
