// SPDX-License-Identifier: GPL-3.0-or-later
//! The `ADD` command for a peer, from its record (the manual, `active`).

use peerdb::Record;
use tripe_admin::Words;

use crate::keys::{self, Kind};
use crate::value::{self, ValueError};

/// Why a peer cannot be added at an address of its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoAddress {
    /// It is a passive peer: its address is learnt from a knock or a greeting.
    Passive,
    /// The record does not say.
    Missing,
    /// The record's `peer` is blank.
    Blank,
}

/// The options of `ADD` for a record.
///
/// # Errors
/// [`ValueError`] for a value that no line to the server can carry.
pub fn options(record: &Record) -> Result<Vec<String>, ValueError> {
    let mut options = Vec::new();
    for key in keys::add_options() {
        let option = format!("-{}", key.name);
        if key.kind == Kind::Flag {
            options.extend(record.flag(key.name).then_some(option));
        } else if let Some(value) = value::text(record, key.name)? {
            options.extend([option, value.to_owned()]);
        }
    }
    Ok(options)
}

/// The address in the record, in words.
///
/// # Errors
/// [`NoAddress`] if there is none.
pub fn address(record: &Record) -> Result<Vec<String>, NoAddress> {
    if record.is_passive() {
        return Err(NoAddress::Passive);
    }
    let value = record.get("peer").ok_or(NoAddress::Missing)?;
    let address: Vec<String> = Words::new(value).owned();
    if address.is_empty() {
        return Err(NoAddress::Blank);
    }
    Ok(address)
}

/// The arguments of `ADD`: options, name and address.
pub fn arguments<'a>(
    options: &'a [String],
    name: &'a str,
    address: &'a [String],
) -> impl Iterator<Item = &'a str> + Clone {
    // A name that looks like an option must be told apart from one.
    let end_of_options = name.starts_with('-').then_some("--");
    options
        .iter()
        .map(String::as_str)
        .chain(end_of_options)
        .chain([name])
        .chain(address.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_manual_is_made_from_its_key() {
        let record = Record::new(
            "p",
            [
                ("cork", "yes"),
                ("keepalive", "30s"),
                ("key", "k"),
                ("priv", "v"),
                ("mobile", "on"),
                ("tunnel", "slip"),
                ("knock", "me.k"),
                ("ephemeral", "t"),
            ],
        );
        assert_eq!(
            options(&record).unwrap(),
            [
                "-tunnel",
                "slip",
                "-keepalive",
                "30s",
                "-key",
                "k",
                "-priv",
                "v",
                "-knock",
                "me.k",
                "-cork",
                "-mobile",
                "-ephemeral"
            ]
        );
        let record = Record::new("p", [("cork", "no"), ("mobile", "1"), ("ephemeral", "")]);
        assert_eq!(options(&record).unwrap(), [""; 0]);
        assert!(options(&Record::new("p", [("key", "a\nb")])).is_err());
    }

    #[test]
    fn every_option_in_the_table_is_sent_and_known_to_the_checks() {
        let faults = |key: &str, value: &str| {
            let record = Record::new("p", [("peer", "INET hub 4070"), (key, value)]);
            crate::check::database(&peerdb::Database::from_parts([record], [], []))
        };
        for key in keys::add_options() {
            let (name, value) = match key.kind {
                Kind::Flag => (key.name, "yes"),
                Kind::Interval => (key.name, "30s"),
                _ => (key.name, "tag"),
            };
            let option = match key.kind {
                Kind::Flag => format!("-{name}"),
                _ => format!("-{name} {value}"),
            };
            let words = options(&Record::new("p", [(name, value)])).unwrap();
            assert_eq!(words.join(" "), option);

            assert!(faults(name, value).iter().all(|found| found.key.is_none()));
            let wrong = faults(name, "not one word");
            assert_eq!(wrong[0].key.as_deref(), Some(name), "{wrong:?}");
            let misspelt = faults(&name.to_ascii_uppercase(), value);
            let meant = format!("was {name} meant?");
            assert!(misspelt[0].message.contains(&meant), "{misspelt:?}");
        }
    }

    #[test]
    fn the_address_is_there_or_it_is_said_why_not() {
        let of = |pairs: &[(&str, &str)]| address(&Record::new("p", pairs.iter().copied()));
        assert_eq!(
            of(&[("peer", "INET  hub 'a b'")]).unwrap(),
            ["INET", "hub", "a b"]
        );
        assert_eq!(of(&[("peer", "PASSIVE")]), Err(NoAddress::Passive));
        assert_eq!(of(&[]), Err(NoAddress::Missing));
        assert_eq!(of(&[("peer", " ")]), Err(NoAddress::Blank));
    }

    #[test]
    fn a_name_like_an_option_is_told_apart_from_one() {
        let (options, address) = (["-cork".to_owned()], ["h".to_owned()]);
        let words = |name| arguments(&options, name, &address).collect::<Vec<_>>();
        assert_eq!(words("p"), ["-cork", "p", "h"]);
        assert_eq!(words("-p"), ["-cork", "--", "-p", "h"]);
    }
}
