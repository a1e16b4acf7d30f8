// SPDX-License-Identifier: GPL-3.0-or-later
//! The `ADD` command for a peer, from its record (connect(8), `active`).

use peerdb::{Record, ValueError};
use tripe_admin::Words;

/// Keys whose value is given with the option of the same name.
const VALUES: [&str; 5] = ["tunnel", "keepalive", "key", "priv", "knock"];

/// Keys that, if true, are an option of the same name.
const FLAGS: [&str; 3] = ["cork", "mobile", "ephemeral"];

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
    for key in VALUES {
        if let Some(value) = record.text(key)? {
            options.extend([format!("-{key}"), value.to_owned()]);
        }
    }
    let flags = FLAGS.into_iter().filter(|key| record.flag(key));
    options.extend(flags.map(|key| format!("-{key}")));
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
