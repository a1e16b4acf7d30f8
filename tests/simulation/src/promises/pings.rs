// SPDX-License-Identifier: GPL-3.0-or-later
//! P1: never two pings in flight for a peer at the server from one connection.
//!
//! A ping is in flight from the instant at which the server reads the `PING` until the service
//! hears the end: the service cannot know earlier that the ping has ended. A cancelled ping has
//! ended when the server reads that it is cancelled.

use std::collections::BTreeMap;

use super::tap::Fact;
use super::{Moment, Rule, Verdict};
use crate::promise::Promise;

/// The pings in flight: of each peer the tag.
#[derive(Debug, Default)]
pub(super) struct Pings {
    in_flight: BTreeMap<String, String>,
}

impl Rule for Pings {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        match now.fact {
            Some(Fact::Sent(command)) if command.is_ping() => {
                let peer = command.word(0);
                let tag = command.tag.clone().unwrap_or_default();
                if let Some(other) = self.in_flight.insert(peer.to_owned(), tag.clone()) {
                    let text = format!("ping {tag} of {peer} was sent while {other} was in flight");
                    return Err((Promise::OnePing, text));
                }
            }
            Some(Fact::Sent(command)) if command.verb == "BGCANCEL" => {
                let tag = command.word(0);
                self.in_flight.retain(|_, in_flight| in_flight != tag);
            }
            Some(Fact::Ended(command, _)) if command.is_ping() => {
                self.in_flight.remove(command.word(0));
            }
            Some(Fact::Connected | Fact::Lost) => self.in_flight.clear(),
            _ => {}
        }
        Ok(())
    }
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
}
