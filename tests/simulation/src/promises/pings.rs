// SPDX-License-Identifier: GPL-3.0-or-later
//! P1: never two pings in flight for a peer at the server from one connection.
//!
//! A ping is in flight from the instant at which the server reads the `PING` until the service
//! hears the end: the service cannot know earlier that the ping has ended. A cancelled ping has
//! ended when the server reads that it is cancelled. A ping that was ordered before core had heard
//! that another peer has the name is of the peer that had it before, whichever the server pings.

use std::collections::{BTreeMap, BTreeSet};

use tripe_admin::Note;

use super::tap::Fact;
use super::{Moment, Rule, Verdict};
use crate::promise::Promise;

/// A ping in flight.
#[derive(Debug)]
struct Ping {
    tag: String,
    /// Whether it may be of the peer that had the name before.
    may_be_earlier: bool,
}

/// The pings in flight, by the name of the peer.
#[derive(Debug, Default)]
pub(super) struct Pings {
    in_flight: BTreeMap<String, Ping>,
    /// Names of peers that were added since the last ping for each.
    added: BTreeSet<String>,
}

impl Rule for Pings {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => {
                return self.sent(command.word(0), command.tag.as_deref().unwrap_or_default());
            }
            Some(Fact::Sent(command)) if command.verb == "BGCANCEL" => {
                let tag = command.word(0);
                self.in_flight.retain(|_, ping| ping.tag != tag);
            }
            Some(Fact::Ended(command, _)) if command.is_ping() => {
                let (peer, tag) = (command.word(0), command.tag.as_deref());
                let is_it = |ping: &mut Ping| Some(&*ping.tag) == tag;
                if self.in_flight.get_mut(peer).is_some_and(is_it) {
                    self.in_flight.remove(peer);
                }
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                self.added.insert(peer.clone());
                if let Some(ping) = self.in_flight.get_mut(peer) {
                    ping.may_be_earlier = true;
                }
            }
            Some(Fact::Connected | Fact::Lost) => *self = Pings::default(),
            _ => {}
        }
        Ok(())
    }
}

impl Pings {
    fn sent(&mut self, peer: &str, tag: &str) -> Verdict {
        let ping = Ping {
            tag: tag.to_owned(),
            may_be_earlier: self.added.remove(peer),
        };
        let Some(other) = self.in_flight.insert(peer.to_owned(), ping) else {
            return Ok(());
        };
        if other.may_be_earlier && number(&other.tag) != number(tag) {
            return Ok(());
        }
        let other = other.tag;
        let text = format!("ping {tag} of {peer} was sent while {other} was in flight");
        Err((Promise::OnePing, text))
    }
}

/// The part of a tag that names the peer.
fn number(tag: &str) -> &str {
    tag.split_once('.').map_or(tag, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sight;
    use super::*;

    #[test]
    fn one_ping_after_the_other_keeps_it() {
        let mut sight = Sight::new::<Pings>(&[]);
        let broken = sight.lines(&[
            "> PING -background c0.0 -timeout 10 p",
            "< BGDETACH c0.0",
            "> PING -background c1.0 -timeout 10 q",
            "< BGINFO c0.0 ping-ok 1.0",
            "< BGOK c0.0",
            "> PING -background c0.1 -timeout 10 p",
            "< BGDETACH c1.0",
            "< FAIL unknown-peer p",
            "> PING -background c0.2 -timeout 10 p",
            "> BGCANCEL c1.0",
            "> PING -background c2.0 -timeout 10 q",
        ]);
        assert_eq!(broken, None);
    }

    #[test]
    fn two_pings_at_a_time_break_it() {
        let mut sight = Sight::new::<Pings>(&[]);
        let broken = sight.lines(&[
            "> EPING -background c0.0 -timeout 10 p",
            "< BGDETACH c0.0",
            "> EPING -background c1.0 -timeout 10 p",
        ]);
        assert_eq!(broken, Some(Promise::OnePing));
    }

    #[test]
    fn a_ping_of_the_peer_that_had_the_name_before_keeps_it() {
        let added = "< NOTE ADD p tripe0 INET 198.18.0.3 4070";
        let [first, again, other] = ["c0.7", "c0.8", "c1.0"];
        let lines = |lines: [&str; 3]| Sight::new::<Pings>(&[]).lines(&lines);
        let ping = |tag: &str| format!("> PING -background {tag} -timeout 10 p");
        let (first, again, other) = (ping(first), ping(again), ping(other));
        // The server may read it before or after core has heard of the other peer.
        assert_eq!(lines([&first, added, &other]), None);
        assert_eq!(lines([added, &first, &other]), None);
        let broken = Some(Promise::OnePing);
        assert_eq!(lines([&first, added, &again]), broken);
        assert_eq!(lines(["< NOTE KXDONE p", &first, &other]), broken);
    }
}
