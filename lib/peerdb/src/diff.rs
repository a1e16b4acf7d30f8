// SPDX-License-Identifier: GPL-3.0-or-later
//! What is different between two databases, peer by peer and key by key.

use std::collections::HashMap;
use std::fmt;

use crate::database::Database;
use crate::record::Record;
use crate::side_by_side::side_by_side;
use crate::text::{one_line, shown};

/// One key that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// Its value before; `None` if it was not there.
    pub old: Option<String>,
    /// Its value now; `None` if it is not there any more.
    pub new: Option<String>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = one_line(&self.key);
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "{key} = {} added", shown(new)),
            (Some(old), None) => write!(f, "{key} = {} removed", shown(old)),
            (old, new) => {
                let [old, new] =
                    [old, new].map(|value| shown(value.as_deref().unwrap_or_default()));
                write!(f, "{key} changed from {old} to {new}")
            }
        }
    }
}

/// What happened to one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RecordChange {
    /// It is new.
    Added(Record),
    /// It is not there any more.
    Removed(Record),
    /// It is there with other keys or values.
    Changed {
        /// The record's name.
        name: String,
        /// What differs, sorted by key; never empty.
        keys: Vec<KeyChange>,
    },
}

impl RecordChange {
    /// The name of the record.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            RecordChange::Added(record) | RecordChange::Removed(record) => record.name(),
            RecordChange::Changed { name, .. } => name,
        }
    }
}

impl fmt::Display for RecordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordChange::Added(record) => write!(f, "{} added", one_line(record.name())),
            RecordChange::Removed(record) => write!(f, "{} removed", one_line(record.name())),
            RecordChange::Changed { name, keys } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "{} changed: {}", one_line(name), keys.join(", "))
            }
        }
    }
}

/// One difference between two databases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A peer's record.
    Peer(RecordChange),
    /// A local record.
    Local(RecordChange),
    /// The peer that a user stands for.
    User {
        /// The user's name.
        user: String,
        /// The peer before; `None` if the user is new.
        old: Option<String>,
        /// The peer now; `None` if the user is gone.
        new: Option<String>,
    },
    /// A peer is now to be added at start-up.
    AutoAdded {
        /// The peer's name.
        peer: String,
    },
    /// A peer is not to be added at start-up any more.
    AutoRemoved {
        /// The peer's name.
        peer: String,
    },
    /// The same peers are to be added at start-up, but in another order.
    AutoReordered,
}

impl fmt::Display for Change {
    /// One line, such as `peer hub changed: every changed from "30s" to "1m"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Peer(change) => write!(f, "peer {change}"),
            Change::Local(change) => write!(f, "local record {change}"),
            Change::User { user, old, new } => match (one_line(user), old, new) {
                (user, None, Some(new)) => {
                    write!(f, "user {user} added for peer {}", one_line(new))
                }
                (user, Some(old), None) => {
                    write!(f, "user {user} removed from peer {}", one_line(old))
                }
                (user, old, new) => {
                    let [old, new] =
                        [old, new].map(|peer| one_line(peer.as_deref().unwrap_or_default()));
                    write!(f, "user {user} moved from peer {old} to {new}")
                }
            },
            Change::AutoAdded { peer } => write!(
                f,
                "peer {} is added at start-up from now on",
                one_line(peer)
            ),
            Change::AutoRemoved { peer } => {
                write!(
                    f,
                    "peer {} is not added at start-up any more",
                    one_line(peer)
                )
            }
            Change::AutoReordered => f.write_str("the order of peers at start-up changed"),
        }
    }
}

/// Everything that differs between `old` and `new`: peers sorted by name, then local records and
/// users, then the list of automatic peers. Records without a meaning
/// ([`Database::specials`]) are not compared.
///
/// The time is that of reading both databases once.
#[must_use]
pub fn diff(old: &Database, new: &Database) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(records(old.sorted_peers(), new.sorted_peers()).map(Change::Peer));
    let [old_locals, new_locals] = [old, new].map(|database| {
        let mut locals = database.locals().to_vec();
        locals.sort_by(|a, b| a.name().cmp(b.name()));
        locals
    });
    changes.extend(records(&old_locals, &new_locals).map(Change::Local));
    let differing = changed(old.users(), new.users());
    changes.extend(differing.map(|(user, old, new)| Change::User { user, old, new }));
    automatic(old.auto(), new.auto(), &mut changes);
    changes
}

fn records<'a>(old: &'a [Record], new: &'a [Record]) -> impl Iterator<Item = RecordChange> {
    side_by_side(old, new, |a, b| a.name().cmp(b.name())).filter_map(|pair| match pair {
        (None, None) => None,
        (None, Some(new)) => Some(RecordChange::Added(new.clone())),
        (Some(old), None) => Some(RecordChange::Removed(old.clone())),
        (Some(old), Some(new)) => (old != new).then(|| RecordChange::Changed {
            name: new.name().to_owned(),
            keys: keys(old, new),
        }),
    })
}

/// The keys that differ between two records, sorted.
#[must_use]
pub fn keys(old: &Record, new: &Record) -> Vec<KeyChange> {
    changed(old.iter(), new.iter())
        .map(|(key, old, new)| KeyChange { key, old, new })
        .collect()
}

/// What two sorted lists of pairs have different values for, with its old and its new value.
fn changed<'a>(
    old: impl Iterator<Item = (&'a str, &'a str)>,
    new: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (String, Option<String>, Option<String>)> {
    let value = |pair: Option<(&str, &str)>| pair.map(|(_, value)| value.to_owned());
    side_by_side(old, new, |a, b| a.0.cmp(b.0))
        .filter(|(old, new)| old != new)
        .filter_map(move |(old, new)| Some((old.or(new)?.0.to_owned(), value(old), value(new))))
}

fn automatic(old: &[String], new: &[String], changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    // A name may come twice, though it does no good: one more and one less count too.
    let mut balance: HashMap<&str, isize> = HashMap::new();
    for name in new {
        *balance.entry(name).or_default() += 1;
    }
    for name in old {
        *balance.entry(name).or_default() -= 1;
    }
    let mut names: Vec<(&str, isize)> = balance.into_iter().filter(|(_, n)| *n != 0).collect();
    if names.is_empty() {
        changes.push(Change::AutoReordered);
    }
    names.sort_unstable();
    changes.extend(names.into_iter().map(|(name, balance)| {
        let peer = name.to_owned();
        if balance > 0 {
            Change::AutoAdded { peer }
        } else {
            Change::AutoRemoved { peer }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn database(
        peers: &[(&str, &[(&str, &str)])],
        users: &[(&str, &str)],
        auto: &[&str],
    ) -> Database {
        Database::from_parts(
            peers
                .iter()
                .map(|(name, pairs)| Record::new(name, pairs.iter().copied())),
            users
                .iter()
                .map(|(user, peer)| ((*user).into(), (*peer).into())),
            auto.iter().map(|name| (*name).into()),
        )
    }

    fn lines(old: &Database, new: &Database) -> Vec<String> {
        diff(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_change_is_found_and_sorted() {
        let old = database(
            &[
                ("same", &[("a", "1")]),
                ("gone", &[]),
                ("hub", &[("every", "30s"), ("mobile", "t"), ("watch", "t")]),
            ],
            &[("ann", "hub"), ("bob", "hub"), ("cid", "hub")],
            &["hub", "same"],
        );
        let new = database(
            &[
                ("hub", &[("every", "1m"), ("cork", "t"), ("watch", "t")]),
                ("new", &[("a", "1")]),
                ("same", &[("a", "1")]),
            ],
            &[("ann", "hub"), ("bob", "new"), ("dan", "new")],
            &["new", "hub"],
        );
        assert_eq!(
            lines(&old, &new),
            [
                "peer gone removed",
                "peer hub changed: cork = \"t\" added, every changed from \"30s\" to \"1m\", \
                 mobile = \"t\" removed",
                "peer new added",
                "user bob moved from peer hub to new",
                "user cid removed from peer hub",
                "user dan added for peer new",
                "peer new is added at start-up from now on",
                "peer same is not added at start-up any more",
            ]
        );
        let changes = diff(&old, &new);
        assert!(matches!(&changes[0], Change::Peer(change) if change.name() == "gone"));
        assert!(matches!(&changes[1], Change::Peer(change) if change.name() == "hub"));
    }

    #[test]
    fn the_order_of_the_file_is_no_change_but_that_of_start_up_is() {
        let old = database(&[("a", &[]), ("b", &[])], &[], &["a", "b"]);
        let new = database(&[("b", &[]), ("a", &[])], &[], &["b", "a"]);
        assert_eq!(
            lines(&old, &new),
            ["the order of peers at start-up changed"]
        );
    }

    #[test]
    fn local_records_are_not_taken_for_peers() {
        let compile = |text| {
            struct Nobody;
            impl crate::source::Resolver for Nobody {
                fn resolve(
                    &self,
                    _: &[String],
                ) -> Vec<Result<Vec<std::net::IpAddr>, crate::source::ResolveError>>
                {
                    Vec::new()
                }
            }
            crate::source::Source::parse([("f", text)], |_| false)
                .compile(&Nobody)
                .database()
        };
        let (old, new) = (
            compile("[$a]\nx = 1\n[$b]\n"),
            compile("[$b]\n[$c]\n[$a]\nx = 2\n"),
        );
        assert_eq!(
            lines(&old, &new),
            [
                "local record $a changed: x changed from \"1\" to \"2\"",
                "local record $c added",
            ]
        );
    }

    #[test]
    fn ten_thousand_peers_are_compared() {
        let many = |changed: usize| {
            let peers = (0..10_000).map(move |n| {
                let every = if n == changed { "1m" } else { "30s" };
                Record::new(&format!("peer{n}"), [("every", every), ("watch", "t")])
            });
            Database::from_parts(peers, [], [])
        };
        let (old, new) = (many(usize::MAX), many(7_000));
        assert_eq!(
            lines(&old, &new),
            ["peer peer7000 changed: every changed from \"30s\" to \"1m\""]
        );
        assert!(diff(&new, &new).is_empty());
    }

    type Peers = BTreeMap<String, BTreeMap<String, String>>;

    fn peers() -> impl Strategy<Value = Peers> {
        let pairs = proptest::collection::btree_map("[a-d]", "[xy]", 0..4);
        proptest::collection::btree_map("[a-f]", pairs, 0..6)
    }

    fn of(peers: &Peers) -> Database {
        let records = peers.iter().map(|(name, pairs)| Record::new(name, pairs));
        Database::from_parts(records, [], [])
    }

    proptest! {
        /// What `diff` says, done to the old database, makes the new one.
        #[test]
        fn changes_lead_from_old_to_new(old in peers(), new in peers()) {
            let mut result = old.clone();
            for change in diff(&of(&old), &of(&new)) {
                match change {
                    Change::Peer(RecordChange::Added(record)) => {
                        let pairs = record.iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
                        let before = result.insert(record.name().to_owned(), pairs.collect());
                        prop_assert_eq!(before, None);
                    }
                    Change::Peer(RecordChange::Removed(record)) => {
                        prop_assert!(result.remove(record.name()).is_some());
                    }
                    Change::Peer(RecordChange::Changed { name, keys }) => {
                        prop_assert!(!keys.is_empty());
                        let pairs = result.entry(name).or_default();
                        for KeyChange { key, old, new } in keys {
                            prop_assert_ne!(&old, &new);
                            let before = match new {
                                Some(new) => pairs.insert(key, new),
                                None => pairs.remove(&key),
                            };
                            prop_assert_eq!(before, old);
                        }
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(result, new);
        }
    }
}
