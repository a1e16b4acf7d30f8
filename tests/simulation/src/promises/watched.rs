// SPDX-License-Identifier: GPL-3.0-or-later
//! P10 as far as pings are concerned: a peer is pinged only if its record says that it is watched.
//!
//! The rule judges while it is certain which database core uses.

use peerdb::Database;

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
        let peer = command.word(0);
        let is_watched = |database: &Database| {
            let record = database.peer(peer);
            record.is_some_and(|record| record.flag("watch"))
        };
        match now.in_use.database(now.calm) {
            Some(database) if !is_watched(database) => {
                let text = format!("{peer} is pinged, and no record says that it is watched");
                Err((Promise::Causes, text))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Sight, database, view};
    use super::*;
    use crate::seen::{Seen, View};
    use crate::world::Truth;

    #[test]
    fn a_ping_of_a_peer_that_is_not_watched_breaks_it() {
        for (watch, expected) in [("t", None), ("f", Some(Promise::Causes))] {
            let mut sight = Sight::new::<Watched>(&[]);
            let truth = Truth {
                file: Some(Arc::new(database(&[("p", &[("watch", watch)])]))),
                ..Truth::default()
            };
            let ping = "> PING -background c0.0 -timeout 10 p";
            // Which database core uses is not known yet.
            assert_eq!(sight.lines(&[ping]), None);
            view(|view| {
                let truth = &truth;
                sight.see(Seen::Minute(View { truth, ..view })).unwrap();
            });
            assert_eq!(sight.lines(&[ping]), expected, "{watch}");
        }
    }
}
