// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers that the server no longer has, and why: a peer that is gone is shown until it is back.
//!
//! ```text
//!   peer removed --> Departure --back, or removed from the database--> forgotten
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::event::Removal;
use connect_policy::pinging::{is_watched, may_have_left};
use peerdb::{Database, Record};
use serde::{Deserialize, Serialize};

/// How many departures are kept at most: more than databases have peers. Further peers are shown as
/// if the server had never had them, which the log says once.
const LIMIT: usize = 100_000;

/// A server that ends may announce the removal of each peer just before it closes the connection.
/// So a removal in this time before the end was not by a command.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// When and why a peer was removed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Departure {
    pub(super) at: Monotonic,
    #[serde(flatten)]
    pub(super) removal: Removal,
    /// Its last address, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Box<str>>,
    /// Whether it had answered since it was added or found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_answered: bool,
    /// Whether there was no database that could say whether the peer may have left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) undecided: bool,
}

impl Departure {
    /// Whether the peer was lost, so that it should come back; otherwise it was removed on purpose.
    pub(super) const fn is_loss(&self) -> bool {
        match self.removal {
            Removal::Silence { .. }
            | Removal::Left
            | Removal::Replaced
            | Removal::Server
            | Removal::Unseen => true,
            Removal::Command => false,
        }
    }

    /// Whether a peer with this record is expected back, or was killed.
    pub(super) fn is_expected(&self, record: &Record) -> bool {
        is_watched(record) || !self.is_loss() || self.removal == Removal::Replaced
    }
}

/// Every departure of a peer that is not back yet, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures {
    by_name: BTreeMap<Box<str>, Departure>,
    /// How many of them are losses.
    losses: usize,
    /// Whether it was logged that there are too many.
    overflow_logged: bool,
}

impl Departures {
    /// Notes that a peer was removed.
    pub(super) fn note(&mut self, name: &str, departure: Departure) {
        if self.by_name.len() >= LIMIT && !self.by_name.contains_key(name) {
            if !std::mem::replace(&mut self.overflow_logged, true) {
                tracing::warn!(
                    limit = LIMIT,
                    "more peers are gone than core remembers; the others are shown as absent or \
                     waiting"
                );
            }
            return;
        }
        self.losses += usize::from(departure.is_loss());
        let before = self.by_name.insert(name.into(), departure);
        self.losses -= usize::from(before.is_some_and(|it| it.is_loss()));
    }

    /// The departure of a peer that is not back.
    pub(super) fn get(&self, name: &str) -> Option<&Departure> {
        self.by_name.get(name)
    }

    /// The server has a peer again: forgets its departure, and returns it.
    pub(super) fn forget(&mut self, name: &str) -> Option<Departure> {
        let departure = self.by_name.remove(name)?;
        self.losses -= usize::from(departure.is_loss());
        Some(departure)
    }

    /// Forgets the peers that are no longer expected: those without a record, and those whose
    /// record no longer says `watch`, unless they were killed, or removed to be added again.
    pub(super) fn keep_expected(&mut self, database: &Database) {
        self.by_name.retain(|name, departure| {
            let record = database.peer(name);
            record.is_some_and(|record| departure.is_expected(record))
        });
        self.count_losses();
        self.overflow_logged = false;
    }

    /// There is a database, which may say that peers have left that were taken for removed by a
    /// command without one. Returns their names, and those of the peers of which nobody has seen
    /// why they were removed.
    pub(super) fn may_have_left(&mut self, database: &Database) -> Vec<String> {
        let mut left = Vec::new();
        for (name, departure) in &mut self.by_name {
            if !std::mem::take(&mut departure.undecided) {
                continue;
            }
            let record = database.peer(name).filter(|_| database.is_auto(name));
            let may_have_left = record.is_some_and(|it| is_watched(it) && may_have_left(it));
            match departure.removal {
                Removal::Command if may_have_left => departure.removal = Removal::Left,
                Removal::Unseen => {}
                _ => continue,
            }
            left.push(name.to_string());
        }
        self.count_losses();
        left
    }

    /// The server has closed the connection.
    pub(super) fn server_lost(&mut self, now: Monotonic) {
        for departure in self.by_name.values_mut() {
            let is_announced = matches!(departure.removal, Removal::Command | Removal::Left);
            if is_announced && departure.at + LAST_WORDS >= now {
                departure.removal = Removal::Server;
            }
        }
        self.count_losses();
    }

    /// Counts the losses again, by going through all departures.
    fn count_losses(&mut self) {
        self.losses = self.by_name.values().filter(|it| it.is_loss()).count();
    }

    /// Whether a peer was removed to be added again, and could not be.
    pub(super) fn is_replaced(&self, name: &str) -> bool {
        let departure = self.by_name.get(name);
        departure.is_some_and(|it| it.removal == Removal::Replaced)
    }

    /// The peers that were removed to be added again, and could not be.
    pub(super) fn replaced(&self) -> impl Iterator<Item = &str> {
        let all = self.by_name.iter();
        let replaced = all.filter(|(_, departure)| departure.removal == Removal::Replaced);
        replaced.map(|(name, _)| &**name)
    }

    /// How many peers were lost and are not back.
    pub(super) const fn losses(&self) -> usize {
        self.losses
    }

    /// The departures of all peers, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Departure)> {
        self.by_name
            .iter()
            .map(|(name, departure)| (&**name, departure))
    }

    /// The names beyond `start`, sorted.
    pub(super) fn names_from<'a>(&'a self, start: Bound<&'a str>) -> impl Iterator<Item = &'a str> {
        let names = self.by_name.range::<str, _>((start, Bound::Unbounded));
        names.map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departure(removal: Removal) -> Departure {
        Departure {
            at: Monotonic(1),
            removal,
            address: None,
            has_answered: true,
            undecided: false,
        }
    }

    #[test]
    fn beyond_the_limit_nothing_is_added_but_what_is_there_is_kept_up_to_date() {
        let mut departures = Departures::default();
        for number in 0..=LIMIT {
            departures.note(&number.to_string(), departure(Removal::Server));
        }
        assert_eq!(departures.iter().count(), LIMIT);
        assert_eq!(departures.get(&LIMIT.to_string()), None);
        departures.note("7", departure(Removal::Command));
        assert_eq!(
            departures.get("7").map(|it| it.removal),
            Some(Removal::Command)
        );
        assert_eq!(departures.losses(), LIMIT - 1);
    }

    #[test]
    fn a_departure_is_read_as_it_was_written() {
        let left = Departure {
            address: Some("INET 192.0.2.1 1".into()),
            ..departure(Removal::Silence { pings: 3 })
        };
        let text = serde_json::to_string(&left).unwrap();
        assert_eq!(serde_json::from_str::<Departure>(&text).unwrap(), left);
    }
}
