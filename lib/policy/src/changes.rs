// SPDX-License-Identifier: GPL-3.0-or-later
//! What a changed record does not change by itself: which of its keys need a command, and which
//! command.
//!
//! Keys are used at three times. Those about pings, and commands other than `ifup`, are read each
//! time that they are needed, so they need no command. Options of `ADD` and the address are used
//! when the peer is added. All others are only used by the peer's `ifup`, which gets the whole
//! record.

use connect_ipc::changes::{PeerChange, RecordStanding, Remedy};
use peerdb::Record;
use peerdb::diff::KeyChange;
use tripe_admin::Words;

use crate::adding::{NoAddress, address};
use crate::keys::{self, Kind, Reader};

/// When the value of a key is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum UsedAt {
    /// When the peer is added.
    Addition,
    /// When its `ifup` runs.
    Interface,
    /// Each time that it is needed.
    EachUse,
}

impl UsedAt {
    fn of(key: &str) -> Self {
        match keys::find(key) {
            Some(key) if key.name == "peer" || key.reader == Reader::Server => UsedAt::Addition,
            Some(key) if key.name == "ifup" => UsedAt::Interface,
            Some(key) => match key.reader {
                Reader::Service | Reader::Server | Reader::Compiler => UsedAt::EachUse,
                Reader::Ifup => UsedAt::Interface,
            },
            // No program is known to read it, but scripts get it.
            None => UsedAt::Interface,
        }
    }
}

/// How a peer that the server has differs from the database: `in_use` is the record that its
/// connection was made with, `None` if it never had one, and `new` its record in the database.
/// `None` if it does not differ from the database.
#[must_use]
pub fn of_present(in_use: Option<&Record>, new: Option<&Record>) -> Option<PeerChange> {
    let in_use = in_use?;
    let Some(new) = new else {
        return Some(PeerChange {
            peer: in_use.name().to_owned(),
            standing: RecordStanding::Removed,
            keys: Vec::new(),
            remedy: Remedy::Kill,
        });
    };
    if in_use == new {
        return None;
    }
    let has_script = in_use.get("ifup").or(new.get("ifup")).is_some();
    let mut waiting = Vec::new();
    let mut addition = false;
    for change in peerdb::diff::keys(in_use, new) {
        match UsedAt::of(&change.key) {
            UsedAt::Addition if has_effect(&change) => addition = true,
            UsedAt::Interface if has_script => {}
            _ => continue,
        }
        waiting.push(change.key);
    }
    (!waiting.is_empty()).then(|| PeerChange {
        peer: new.name().to_owned(),
        standing: RecordStanding::Changed,
        keys: waiting,
        // If the script is not to run any more, what it has set up is removed together with the
        // peer.
        remedy: if addition || new.get("ifup").is_none() {
            connection_again(new)
        } else {
            Remedy::Ifup
        },
    })
}

/// What is to be done for a peer that should have been added at start-up and that the server does
/// not have: `None` if only the peer itself can make contact.
#[must_use]
pub fn of_absent(new: &Record) -> Option<PeerChange> {
    (connection_again(new) == Remedy::Active).then(|| PeerChange {
        peer: new.name().to_owned(),
        standing: RecordStanding::New,
        keys: Vec::new(),
        remedy: Remedy::Active,
    })
}

/// Whether the two values mean different things to the server.
fn has_effect(change: &KeyChange) -> bool {
    let (old, new) = (change.old.as_deref(), change.new.as_deref());
    let is_flag = keys::find(&change.key).is_some_and(|key| key.kind == Kind::Flag);
    if is_flag {
        old.is_some_and(peerdb::is_true) != new.is_some_and(peerdb::is_true)
    } else if change.key == "peer" {
        old.map(|value| Words::new(value).owned()) != new.map(|value| Words::new(value).owned())
    } else {
        old != new
    }
}

/// What makes the peer's connection again, with its present record.
fn connection_again(record: &Record) -> Remedy {
    match address(record) {
        // It makes contact again when it finds that it was removed.
        Err(NoAddress::Passive) => Remedy::Kill,
        Err(NoAddress::Missing | NoAddress::Blank) if record.get("user").is_some() => Remedy::Kill,
        // A record without an address is refused, which removes nothing.
        Ok(_) | Err(NoAddress::Missing | NoAddress::Blank) => Remedy::Active,
    }
}

/// The record in use once the `ifup` of the record `new` has been run for a peer that was added
/// with the record `in_use`.
#[must_use]
pub fn after_ifup(in_use: &Record, new: &Record) -> Record {
    merge(in_use, new, |key| UsedAt::of(key) != UsedAt::Addition)
}

/// The record that the `ifdown` of a peer gets: what its `ifup` had, but the command itself as it
/// is in the database.
#[must_use]
pub fn for_ifdown(in_use: &Record, new: &Record) -> Record {
    merge(in_use, new, |key| {
        ["ifdown", "ifdown-timeout"].contains(&key)
    })
}

/// Those keys of `new` that are wanted, and the others of `old`.
fn merge(old: &Record, new: &Record, is_new: impl Fn(&str) -> bool) -> Record {
    let kept = old.iter().filter(|(key, _)| !is_new(key));
    let taken = new.iter().filter(|(key, _)| is_new(key));
    Record::new(new.name(), kept.chain(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &[(&str, &str)] = &[
        ("peer", "INET 192.0.2.1 4070"),
        ("ifup", "/up"),
        ("every", "30s"),
    ];

    /// The record with some keys changed; an empty value removes one.
    fn with(changes: &[(&str, &str)]) -> Record {
        let is_changed = |key: &str| changes.iter().any(|(changed, _)| *changed == key);
        let kept = BASE.iter().filter(|(key, _)| !is_changed(key));
        let set = changes.iter().filter(|(_, value)| !value.is_empty());
        Record::new("p", kept.chain(set).copied())
    }

    fn change(changes: &[(&str, &str)]) -> Option<(Vec<String>, Remedy)> {
        let change = of_present(Some(&with(&[])), Some(&with(changes)))?;
        assert_eq!(change.standing, RecordStanding::Changed);
        Some((change.keys, change.remedy))
    }

    #[test]
    fn each_key_waits_for_the_command_that_has_it_used() {
        for (changes, keys, remedy) in [
            (
                &[("peer", "INET 192.0.2.2 4070")] as &[_],
                "peer",
                Remedy::Active,
            ),
            (
                &[("key", "k"), ("laddr", "10.0.0.1")],
                "key laddr",
                Remedy::Active,
            ),
            (&[("peer", "PASSIVE")], "peer", Remedy::Kill),
            (&[("mobile", "t")], "mobile", Remedy::Active),
            (
                &[("laddr", "10.0.0.1"), ("every", "1m")],
                "laddr",
                Remedy::Ifup,
            ),
            (&[("site", "north")], "site", Remedy::Ifup),
            (&[("ifup", "/other")], "ifup", Remedy::Ifup),
            (&[("ifup", "")], "ifup", Remedy::Active),
            (&[("peer", "")], "peer", Remedy::Active),
            (&[("peer", ""), ("user", "u")], "peer", Remedy::Kill),
        ] {
            let keys: Vec<String> = keys.split(' ').map(str::to_owned).collect();
            assert_eq!(change(changes), Some((keys, remedy)), "{changes:?}");
        }
    }

    #[test]
    fn nothing_waits_for_what_is_read_each_time_or_means_the_same() {
        for changes in [
            &[] as &[_],
            &[
                ("every", "1m"),
                ("retries", "2"),
                ("timeout", "3s"),
                ("ping", "encrypted"),
            ],
            &[
                ("watch", "t"),
                ("auto", "t"),
                ("user", "u"),
                ("backoff", "1m"),
            ],
            &[
                ("connect", "ssh x"),
                ("disconnect", "ssh x"),
                ("ifdown", "/down"),
            ],
            &[("ifup-timeout", "1m"), ("peer", "INET  192.0.2.1  4070")],
            &[("mobile", "no"), ("cork", "1")],
        ] {
            assert_eq!(change(changes), None, "{changes:?}");
        }
        let plain = |value| Record::new("p", [("peer", "INET h 1"), ("laddr", value)]);
        let none = of_present(Some(&plain("10.0.0.1")), Some(&plain("10.0.0.2")));
        assert_eq!(none, None, "without a script");
    }

    #[test]
    fn a_removed_peer_is_killed_and_one_that_never_had_a_record_is_left_alone() {
        let removed = of_present(Some(&with(&[])), None).unwrap();
        assert_eq!(
            (removed.standing, removed.remedy),
            (RecordStanding::Removed, Remedy::Kill)
        );
        assert_eq!(of_present(None, None), None);
        assert_eq!(of_present(None, Some(&with(&[]))), None);
    }

    #[test]
    fn only_an_active_peer_is_added() {
        let added = of_absent(&with(&[])).unwrap();
        assert_eq!(
            (added.standing, added.remedy),
            (RecordStanding::New, Remedy::Active)
        );
        assert_eq!(of_absent(&with(&[("peer", "PASSIVE")])), None);
    }

    #[test]
    fn after_its_ifup_only_the_addition_waits() {
        let (old, new) = (with(&[]), with(&[("key", "k"), ("laddr", "10.0.0.1")]));
        let rest = of_present(Some(&after_ifup(&old, &new)), Some(&new)).unwrap();
        assert_eq!(rest.keys, ["key"]);
        let (old, new) = (with(&[("site", "north")]), with(&[("laddr", "10.0.0.1")]));
        assert_eq!(of_present(Some(&after_ifup(&old, &new)), Some(&new)), None);
    }

    #[test]
    fn ifdown_gets_what_ifup_had_with_the_command_of_today() {
        let old = with(&[("laddr", "10.0.0.1"), ("ifdown", "/old")]);
        let new = with(&[("laddr", "10.0.0.2"), ("ifdown", "/new")]);
        let record = for_ifdown(&old, &new);
        assert_eq!(record.get("laddr"), Some("10.0.0.1"));
        assert_eq!(record.get("ifdown"), Some("/new"));
        assert_eq!(for_ifdown(&old, &with(&[])).get("ifdown"), None);
    }
}
