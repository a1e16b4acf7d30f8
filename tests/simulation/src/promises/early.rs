// SPDX-License-Identifier: GPL-3.0-or-later
//! P8, as checks do not come too early: not before `every` after the check before, not before the
//! pause after a check that failed, and not before `timeout` after a ping that was refused.
//!
//! The rule takes the shortest times that a record of the peer may say. It does not judge what
//! follows an early check (new keys, an operator's ping, `sabotage`), a change of the database, or
//! anything that disturbs the host: then the next check may be due at once.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::control::Request;
use tripe_admin::Note;

use super::records::Shortest;
use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::promise::Promise;
use crate::seen::Seen;

/// How much earlier than the rule says something may come: what is rounded.
const ROUNDING: Duration = Duration::from_millis(10);

/// How much later than due a check is sent at most, if nothing has disturbed the host for a while.
const LATE: Duration = Duration::from_secs(1);

/// How long after a disturbance checks may still be late.
const CATCHES_UP: Duration = Duration::from_secs(10);

/// What is known of the checks of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Before when its next ping is not due, and since when that has been known.
    earliest: Option<(Instant, Instant)>,
    /// Whether a check is under way.
    is_checked: bool,
    /// Before when this check was not due.
    check: Option<Instant>,
    /// When its last ping has ended.
    ended: Instant,
    /// How many checks in a row have failed, at least, and when the last of them did.
    failed: u32,
    failed_at: Instant,
    /// When something has last had it checked early.
    stirred: Option<Instant>,
}

/// The standing of each peer.
#[derive(Debug, Default)]
pub(super) struct Early {
    peers: BTreeMap<String, Standing>,
}

impl Rule for Early {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        if let Seen::Asked(_, envelope) = now.seen {
            match &envelope.request {
                Request::Submit { words } => self.command(now.at, words),
                Request::Ping { peer } => self.stir(now.at, peer),
                _ => {}
            }
        }
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => return self.sent(now, command),
            Some(Fact::Sent(command)) => self.said(now, command),
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                self.ended(now, command.word(0), end);
            }
            Some(Fact::Note(Note::Add { peer, .. } | Note::Kill { peer })) => {
                self.peers.remove(peer);
            }
            Some(Fact::Note(Note::KxDone { peer })) => self.stir(now.at, peer),
            Some(Fact::Job(_, words)) => self.command(now.at, words),
            Some(Fact::Connected | Fact::Lost) => self.peers.clear(),
            _ => {}
        }
        Ok(())
    }
}

impl Early {
    fn stir(&mut self, at: Instant, peer: &str) {
        self.peers.entry(peer.to_owned()).or_default().stirred = Some(at);
    }

    fn command(&mut self, at: Instant, words: &[String]) {
        if let [name, peer] = words
            && name.eq_ignore_ascii_case("sabotage")
        {
            self.stir(at, peer);
        }
    }

    fn sent(&mut self, now: &Moment<'_>, ping: &Command) -> Verdict {
        let peer = ping.word(0);
        let standing = self.peers.entry(peer.to_owned()).or_default();
        let stirred = standing.stirred;
        let earliest = standing.earliest.take().filter(|(_, since)| {
            let disturbed = now.calm.since.max(now.calm.database);
            disturbed < *since && stirred.is_none_or(|stirred| stirred < *since)
        });
        let earliest = earliest.map(|(earliest, _)| earliest);
        if !standing.is_checked {
            let in_time = now.calm.since + CATCHES_UP < now.at;
            let sent = in_time.then(|| now.at - LATE);
            (standing.is_checked, standing.check) = (true, earliest.max(sent));
        }
        match earliest {
            Some(earliest) if now.at + ROUNDING < earliest => {
                let text = format!("{peer} is pinged, and that is not due before {earliest}");
                Err((Promise::NothingLate, text))
            }
            _ => Ok(()),
        }
    }

    fn ended(&mut self, now: &Moment<'_>, peer: &str, end: &End) {
        let Some(standing) = self.peers.get_mut(peer) else {
            return;
        };
        let Shortest { every, timeout, .. } = now.checking().shortest(peer);
        standing.ended = now.at;
        standing.earliest = match end {
            End::Reply(_) => {
                (standing.is_checked, standing.failed) = (false, 0);
                standing.check.map(|due| (due + every, now.at))
            }
            End::Failed(_) => Some((now.at + timeout, now.at)),
            // The next attempt follows at once.
            End::Timeout | End::Ok | End::Died => None,
        };
    }

    fn said(&mut self, now: &Moment<'_>, command: &Command) {
        let told = command.told().unwrap_or_default();
        let (what, peer) = match (command.verb.as_str(), told) {
            ("KILL", _) => ("", command.word(0)),
            (_, [what, peer, ..]) => (what.as_str(), peer.as_str()),
            _ => return,
        };
        let Some(standing) = self.peers.get_mut(peer) else {
            return;
        };
        match what {
            // The peer is sabotaged if it has answered.
            "ping-timeout" => (standing.is_checked, standing.earliest) = (true, None),
            "reconnecting" => {
                // A peer that is watched anew since then begins with the first pause.
                if now.calm.database >= standing.failed_at {
                    standing.failed = 0;
                }
                (standing.failed, standing.failed_at) = (standing.failed + 1, standing.ended);
                let pause = now.checking().shortest(peer).pause(standing.failed);
                standing.earliest = Some((standing.ended + pause, standing.ended));
                standing.is_checked = false;
            }
            // If the server refuses that, its check is over.
            "" => (standing.is_checked, standing.earliest) = (false, None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sight;
    use super::*;
    use crate::plan::{DatabaseChange, Fault, Part};

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("connect", "x"), ("timeout", "5")])];
    const BROKEN: Option<Promise> = Some(Promise::NothingLate);
    const PING: &str = "> PING -background c0.0 -timeout 5 p";

    fn ended(sight: &mut Sight, end: &str) {
        let end = format!("< BGINFO c0.0 {end}");
        assert_eq!(sight.lines(&["< BGDETACH c0.0", &end, "< BGOK c0.0"]), None);
    }

    /// A host whose peer has just answered.
    fn up() -> Sight {
        let mut sight = Sight::new::<Early>(RECORDS);
        sight.later(60);
        assert_eq!(sight.lines(&[PING]), None);
        ended(&mut sight, "ping-ok 1.0");
        sight
    }

    /// A check of this host fails.
    fn fails(sight: &mut Sight) {
        assert_eq!(sight.lines(&[PING]), None);
        sight.later(5);
        ended(sight, "ping-timeout");
        let told = [
            "> WARN connect ping-timeout p attempt 1 of 1",
            "< OK",
            "> WARN connect reconnecting p",
            "< OK",
        ];
        assert_eq!(sight.lines(&told), None);
    }

    #[test]
    fn a_check_after_its_interval_keeps_it_and_one_before_breaks_it() {
        for (seconds, expected) in [(30, None), (28, BROKEN)] {
            let mut sight = up();
            sight.later(seconds);
            assert_eq!(sight.lines(&[PING]), expected, "{seconds}");
        }
    }

    #[test]
    fn the_pause_after_failed_checks_grows_to_its_limit() {
        // A quarter is by chance.
        for (failed, shortest) in [(1, 22), (2, 45), (3, 90), (4, 90)] {
            for (seconds, expected) in [(shortest + 1, None), (shortest - 1, BROKEN)] {
                let mut sight = up();
                for _ in 0..failed {
                    sight.later(200);
                    fails(&mut sight);
                }
                sight.later(seconds);
                let broken = sight.lines(&[PING]);
                assert_eq!(broken, expected, "{failed} failed, {seconds} s");
            }
        }
    }

    #[test]
    fn a_peer_that_is_watched_anew_begins_with_the_first_pause() {
        let mut sight = up();
        for _ in 0..2 {
            let change = DatabaseChange::Back;
            sight.see(Seen::Fault(&Fault::Database { change })).unwrap();
            sight.later(200);
            fails(&mut sight);
        }
        sight.later(30);
        assert_eq!(sight.lines(&[PING]), None);
    }

    #[test]
    fn an_attempt_after_a_refused_one_waits_for_the_timeout() {
        for (seconds, expected) in [(5, None), (4, BROKEN)] {
            let mut sight = up();
            sight.later(30);
            assert_eq!(sight.lines(&[PING, "< FAIL x"]), None);
            sight.later(seconds);
            assert_eq!(sight.lines(&[PING]), expected, "{seconds}");
        }
    }

    #[test]
    fn what_has_a_peer_checked_early_keeps_it() {
        for early in ["< NOTE KXDONE p", "< SVCJOB J1 connect sabotage p"] {
            let mut sight = up();
            assert_eq!(sight.lines(&[early, PING]), None, "{early}");
        }
        let mut sight = up();
        let told = "> WARN connect ping-timeout p attempt 1 of 5";
        assert_eq!(sight.lines(&[told, "< OK", PING]), None, "sabotaged");
    }

    #[test]
    fn what_disturbs_the_host_keeps_it() {
        let mut sight = up();
        sight.see(Seen::Lives(Part::Pinger, 2)).unwrap();
        assert_eq!(sight.lines(&[PING]), None);
        let mut sight = up();
        let until = Instant(u64::MAX / 2);
        sight.see(Seen::Stands(Part::Core, until)).unwrap();
        assert_eq!(sight.lines(&[PING]), None);
    }
}
