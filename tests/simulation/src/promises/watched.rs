// SPDX-License-Identifier: GPL-3.0-or-later
//! P10 and P7 as far as single pings are concerned: a peer is pinged only if its record says that
//! it is watched, and in the way and with the timeout that its record says.
//!
//! The rule judges while it is certain which database core uses.

use super::tap::Fact;
use super::{Moment, Rule, Verdict};
use crate::promise::Promise;

/// Nothing is remembered.
#[derive(Debug, Default)]
pub(super) struct Watched;

impl Rule for Watched {
    fn see(&mut self, now: &Moment<'_>) -> Verdict {
        let Some(Fact::Sent(command)) = now.fact else {
            return Ok(());
        };
        if !command.is_ping() {
            return Ok(());
        }
        let Some(database) = now.in_use.database(now.calm) else {
            return Ok(());
        };
        let peer = command.word(0);
        let watched = database.peer(peer).filter(|record| record.flag("watch"));
        let Some(record) = watched else {
            let text = format!("{peer} is pinged, and no record says that it is watched");
            return Err((Promise::Causes, text));
        };
        let verb = match record.get("ping") {
            Some("encrypted") => "EPING",
            _ => "PING",
        };
        let timeout = now.checking().longest(peer).timeout.as_secs().to_string();
        let sent = command.timeout.as_deref().unwrap_or_default();
        if command.verb != verb || sent != timeout {
            let text = format!(
                "{peer} is sent {} with a timeout of {sent} s; its record says {verb} and {timeout}",
                command.verb
            );
            return Err((Promise::Checks, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sight, database};
    use super::*;

    #[test]
    fn a_ping_of_a_peer_that_is_not_watched_breaks_it() {
        for (watch, expected) in [("t", None), ("f", Some(Promise::Causes))] {
            let mut sight = Sight::new::<Watched>(&[]);
            let ping = "> PING -background c0.0 -timeout 10 p";
            // Which database core uses is not known yet.
            assert_eq!(sight.lines(&[ping]), None);
            let file = database(&[("p", &[("watch", watch)])]);
            sight.minute(file).unwrap();
            assert_eq!(sight.lines(&[ping]), expected, "{watch}");
        }
    }

    #[test]
    fn a_ping_of_another_kind_or_with_another_timeout_breaks_it() {
        let encrypted: &[_] = &[("watch", "t"), ("ping", "encrypted"), ("timeout", "4s")];
        for (ping, expected) in [
            ("> EPING -background c0.0 -timeout 4 p", None),
            (
                "> PING -background c0.0 -timeout 4 p",
                Some(Promise::Checks),
            ),
            (
                "> EPING -background c0.0 -timeout 5 p",
                Some(Promise::Checks),
            ),
        ] {
            let mut sight = Sight::new::<Watched>(&[]);
            sight.minute(database(&[("p", encrypted)])).unwrap();
            assert_eq!(sight.lines(&[ping]), expected, "{ping}");
        }
    }
}
