// SPDX-License-Identifier: GPL-3.0-or-later
//! Since when there have been attempts to add peers that are not up: attempts that follow each
//! other count as one.
//!
//! If a name cannot be resolved, or a peer does not answer, a job of cron may add the peer again
//! and again. Each attempt begins with a new state, so by the state alone the peer would never be
//! overdue.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use peerdb::Database;

/// After this time without an attempt, the next one does not count as the same: longer than the
/// pauses of jobs that try to keep a peer up.
const APART: Duration = Duration::from_secs(600);

/// Attempts to add one peer.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// When the first of them began.
    since: Monotonic,
    /// When the last one began.
    last: Monotonic,
}

/// The attempts by peer, at most one entry for each record of the database.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Attempts(BTreeMap<String, Attempt>);

impl Attempts {
    /// A peer is to be added at `now`. If the server has it, `not_up` is since when it has not been
    /// up.
    pub(super) fn begin(&mut self, name: &str, not_up: Option<Monotonic>, now: Monotonic) {
        let before = self.0.get(name);
        let before = before.filter(|attempt| now < attempt.last + APART);
        let since = before.map_or(now, |attempt| attempt.since);
        let since = not_up.map_or(since, |not_up| since.min(not_up));
        self.0.insert(name.to_owned(), Attempt { since, last: now });
    }

    /// A peer is up, or is not wanted.
    pub(in crate::machine) fn end(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Since when there have been attempts to add this peer.
    pub(in crate::machine) fn since(&self, name: &str) -> Option<Monotonic> {
        self.0.get(name).map(|attempt| attempt.since)
    }

    /// Forgets the peers that have no record any more.
    pub(super) fn keep_recorded(&mut self, database: &Database) {
        self.0.retain(|name, _| database.peer(name).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_follow_each_other_are_one_and_others_are_not() {
        let at = |seconds: u64| Monotonic(0) + Duration::from_secs(seconds);
        let mut attempts = Attempts::default();
        attempts.begin("p", None, at(10));
        attempts.begin("p", None, at(400));
        attempts.begin("p", None, at(900));
        assert_eq!(attempts.since("p"), Some(at(10)));
        attempts.begin("p", None, at(1500));
        assert_eq!(attempts.since("p"), Some(at(1500)));
        attempts.begin("p", Some(at(1200)), at(1510));
        assert_eq!(attempts.since("p"), Some(at(1200)));
        attempts.end("p");
        attempts.begin("p", None, at(1520));
        assert_eq!(attempts.since("p"), Some(at(1520)));
        attempts.keep_recorded(&Database::default());
        assert_eq!(attempts.since("p"), None);
    }
}
