// SPDX-License-Identifier: GPL-3.0-or-later
//! P15: a partner that answers is not reported as down. Time in which the server, core or their
//! host was suspended does not count, up to three timeouts in a row (machine/limits.rs).
//!
//! The rule judges only the partners for which the lab answers: they reply within milliseconds
//! unless a fault makes them silent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use connect_ipc::control::Request;
use tripe_admin::Note;

use super::tap::{Command, End, Fact};
use super::{Moment, Rule, Verdict};
use crate::instant::Instant;
use crate::plan::{Fault, Part};
use crate::promise::Promise;
use crate::seen::Seen;

/// How many timeouts in a row may be void.
const VOIDS: u32 = 3;

/// How late the server may be for a timeout before it counts as suspended.
const STANDSTILL: Duration = Duration::from_secs(1);

/// How long a partner that is not silent any more, or that is asked for, takes to reply.
const REPLY: Duration = Duration::from_secs(1);

/// How often it is looked who is dead.
const MINUTE: Duration = Duration::from_secs(60);

/// What is known of a partner.
#[derive(Clone, Copy, Debug, Default)]
struct Partner {
    /// Until when it is silent.
    silent: Instant,
    /// Until when it is not where the server has it.
    away: Instant,
    /// When its last ping was sent, and when that has ended.
    sent: Instant,
    ended: Instant,
    /// How many of its pings have timed out in a row.
    timeouts: u32,
    sabotaged: bool,
    /// Whether it ever was, also as an earlier peer of this name.
    was_sabotaged: bool,
    /// Whether it was not pinged since it was added: what is told of it is of the peer before.
    unasked: bool,
    /// Where it is, if it is reached by a host name, and where the server has it.
    places: [Option<SocketAddr>; 2],
}

/// All partners.
#[derive(Debug, Default)]
pub(super) struct Alive {
    partners: BTreeMap<String, Partner>,
}

impl Rule for Alive {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.seen {
            Seen::Fault(Fault::Partner { peer, time }) => {
                self.of(peer).is_silent_until(now.at + *time);
            }
            // Who is dead when everything is to settle stays so.
            Seen::Minute(view) => {
                for peer in &view.truth.dead {
                    self.of(peer).is_silent_until(now.at + MINUTE);
                }
            }
            Seen::Place(peer, at) => self.of(peer).placed(0, Some(*at), now.at),
            // A mobile peer is where its latest packet came from, which may have waited for hours.
            Seen::Broadcast(line) => {
                if let ["NOTE", "ADD", peer, _, _, ip, port]
                | ["NOTE", "NEWADDR", peer, _, ip, port] = words(line).as_slice()
                {
                    let at = format!("{ip}:{port}").parse().ok();
                    self.of(peer).placed(1, at, now.at);
                }
            }
            Seen::Asked(_, envelope) => {
                if let Request::Submit { words } = &envelope.request {
                    self.command(words);
                }
            }
            // The next core may have an older state, in which it is sabotaged.
            Seen::Died(Part::Core) => {
                for partner in self.partners.values_mut() {
                    partner.sabotaged |= partner.was_sabotaged;
                    partner.unasked = false;
                }
            }
            _ => {}
        }
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => self.asked(now.at, command.word(0)),
            Some(Fact::Sent(command)) => return self.told(now, command),
            Some(Fact::Ended(command, end)) if command.is_ping() => {
                let partner = self.of(command.word(0));
                partner.ended = now.at;
                match end {
                    End::Timeout => partner.timeouts += 1,
                    End::Reply(_) => partner.timeouts = 0,
                    _ => {}
                }
            }
            Some(Fact::Job(_, words)) => self.command(words),
            // Core may be about to tell of the last ping of a peer that is gone.
            Some(Fact::Note(Note::Kill { peer })) => self.of(peer).timeouts = 0,
            Some(Fact::Note(Note::Add { peer, .. })) => {
                let partner = self.of(peer);
                (partner.timeouts, partner.unasked) = (0, true);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Partner {
    /// It is silent at least until then: a longer time may go on.
    fn is_silent_until(&mut self, until: Instant) {
        self.silent = self.silent.max(until + REPLY);
    }

    /// It is in another place, or the server has it in another one.
    fn placed(&mut self, which: usize, at: Option<SocketAddr>, now: Instant) {
        let is_away = |places: [Option<SocketAddr>; 2]| matches!(places, [Some(place), Some(at)] if place != at);
        let was_away = is_away(self.places);
        if let Some(known) = self.places.get_mut(which) {
            *known = at;
        }
        if is_away(self.places) {
            self.away = Instant(u64::MAX);
        } else if was_away {
            self.away = now + REPLY;
        }
    }
}

impl Alive {
    fn of(&mut self, peer: &str) -> &mut Partner {
        self.partners.entry(peer.to_owned()).or_default()
    }

    fn command(&mut self, words: &[String]) {
        if let [name, peer] = words
            && name.eq_ignore_ascii_case("sabotage")
        {
            let partner = self.of(peer);
            (partner.sabotaged, partner.was_sabotaged) = (true, true);
            // Core may have read this before or after the peer was added.
            partner.unasked = false;
        }
    }

    fn asked(&mut self, at: Instant, peer: &str) {
        let partner = self.of(peer);
        partner.sent = at;
        if std::mem::take(&mut partner.unasked) {
            partner.sabotaged = false;
        }
    }

    fn told(&mut self, now: &Moment<'_>, command: &Command) -> Verdict {
        let told = command.told().unwrap_or_default();
        let (Some(what), Some(peer)) = (told.first(), told.get(1)) else {
            return Ok(());
        };
        // Datagrams between hosts may be lost; the lab itself answers whatever the network does.
        let is_other = !now.records.is_reflected(peer);
        let partner = self.of(peer);
        match what.as_str() {
            "reconnecting" => partner.sabotaged = false,
            "ping-timeout" => {
                let timeout = now.records.longest(peer).timeout;
                // The server was suspended for less time than core notices.
                let stood = now.calm.server >= partner.sent
                    && partner.ended.since(partner.sent) <= timeout + STANDSTILL + STANDSTILL;
                let is_excused = is_other
                    || stood
                    || partner.sabotaged
                    || partner.silent.max(partner.away) >= partner.sent
                    || partner.timeouts > VOIDS;
                if !is_excused {
                    let sent = partner.sent;
                    let text = format!("{peer} lives, and its ping of {sent} is told as timed out");
                    return Err((Promise::Alive, text));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sight;
    use super::*;

    const RECORDS: &[(&str, &[(&str, &str)])] = &[("p", &[("watch", "t")])];

    fn timeout(sight: &mut Sight) -> Option<Promise> {
        sight.lines(&["> PING -background c0.0 -timeout 10 p", "< BGDETACH c0.0"]);
        sight.later(10);
        let told = "> WARN connect ping-timeout p attempt 1 of 5";
        sight.lines(&["< BGINFO c0.0 ping-timeout", "< BGOK c0.0", told])
    }

    const ADDED: &str = "< NOTE ADD p tripe0 INET 198.18.0.1 4070";

    fn sabotaged() -> Sight {
        let mut sight = Sight::new::<Alive>(RECORDS);
        sight.lines(&["< SVCJOB J1 connect sabotage p"]);
        sight
    }

    #[test]
    fn a_partner_that_is_silent_keeps_it() {
        let mut sight = Sight::new::<Alive>(RECORDS);
        let silent = |seconds| Fault::Partner {
            peer: "p".to_owned(),
            time: Duration::from_secs(seconds),
        };
        sight.see(Seen::Fault(&silent(60))).unwrap();
        sight.see(Seen::Fault(&silent(1))).unwrap();
        sight.later(5);
        assert_eq!(timeout(&mut sight), None);
    }

    #[test]
    fn the_last_ping_of_a_sabotaged_peer_that_is_removed_keeps_it() {
        let after = |note: &str| {
            let mut sight = sabotaged();
            sight.lines(&[note]);
            timeout(&mut sight)
        };
        assert_eq!(after("< NOTE KILL p"), None);
        assert_eq!(after(ADDED), Some(Promise::Alive));
    }

    /// What core reads with the removal of a peer may be told after it.
    #[test]
    fn the_last_ping_of_a_sabotaged_peer_that_is_replaced_keeps_it() {
        let mut sight = sabotaged();
        sight.lines(&["> PING -background c0.0 -timeout 10 p", "< BGDETACH c0.0"]);
        let told = "> WARN connect ping-timeout p attempt 1 of 5";
        let ended = [
            "< BGINFO c0.0 ping-ok 1.0",
            "< BGOK c0.0",
            "< NOTE KILL p",
            ADDED,
            told,
        ];
        assert_eq!(sight.lines(&ended), None);
    }

    #[test]
    fn a_core_that_believes_an_older_state_keeps_it() {
        let mut sight = sabotaged();
        sight.lines(&[ADDED]);
        sight.see(Seen::Died(Part::Core)).unwrap();
        assert_eq!(timeout(&mut sight), None);
    }

    #[test]
    fn a_mobile_peer_that_an_old_packet_moved_keeps_it() {
        let after = |note: &str| {
            let mut sight = Sight::new::<Alive>(RECORDS);
            let place = "198.18.0.1:4070".parse().unwrap();
            sight.see(Seen::Place("p", place)).unwrap();
            let added = ADDED.trim_start_matches("< ");
            sight.see(Seen::Broadcast(added)).unwrap();
            sight.see(Seen::Broadcast(note)).unwrap();
            timeout(&mut sight)
        };
        assert_eq!(after("NOTE NEWADDR p INET 198.18.0.2 4070"), None);
        let same = "NOTE NEWADDR p INET 198.18.0.1 4070";
        assert_eq!(after(same), Some(Promise::Alive));
    }

    #[test]
    fn a_partner_that_is_up_breaks_it() {
        let mut sight = Sight::new::<Alive>(RECORDS);
        assert_eq!(timeout(&mut sight), Some(Promise::Alive));
    }
}
