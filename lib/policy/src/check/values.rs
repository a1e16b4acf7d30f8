// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of single keys and values.

use std::net::{IpAddr, Ipv4Addr};

use peerdb::characters::{Purpose, suspect};
use peerdb::{Record, is_true};
use tripe_admin::{Interval, Words};

use super::address::AddressFault;
use super::quotes::Reader;
use super::rule::{LONGEST, Rule};
use super::{address, networks, quotes};
use crate::keys::{self, Key, Kind};
use crate::value::{Expected, parse_integer, parse_interval};

/// The longest name of a network interface: Linux has 16 bytes for it, one of them the end.
const MAX_INTERFACE: usize = 15;

/// The operators of a shell that are likely to be words of their own.
const OPERATORS: [&str; 10] = [
    "|",
    "||",
    "&",
    "&&",
    ";",
    ">",
    ">>",
    "<",
    "2>&1",
    "2>/dev/null",
];

/// What is wrong with one pair.
pub(super) fn check(key: &str, value: &str) -> Vec<Rule> {
    if key.contains('\0') || value.contains('\0') {
        let key = key.into();
        return vec![Rule::Nul { key }];
    }
    match keys::find(key) {
        None => Vec::new(),
        Some(key) if key.kind == Kind::Program => program(key, value),
        Some(key) if key.kind == Kind::Shell => shell(key, value),
        Some(key) => one(key, value).into_iter().collect(),
    }
}

/// Characters that are probably a mistake: the first in the name, and in each key and value.
pub(super) fn characters(record: &Record) -> impl Iterator<Item = Rule> {
    let name = suspect(record.name(), Purpose::Name).map(|suspect| {
        let part = "the peer's name".into();
        Rule::Character {
            key: None,
            part,
            suspect,
        }
    });
    let pairs = record.iter().flat_map(|(key, value)| {
        let purpose = match keys::find(key) {
            Some(_) => Purpose::Machine,
            None => Purpose::Text,
        };
        let parts = [
            (suspect(key, Purpose::Machine), format!("the key {key}")),
            (suspect(value, purpose), format!("the value of {key}")),
        ];
        parts.into_iter().filter_map(move |(suspect, part)| {
            Some(Rule::Character {
                key: Some(key.into()),
                part: part.into(),
                suspect: suspect?,
            })
        })
    });
    name.into_iter().chain(pairs)
}

/// What is wrong with a value of which only one thing can be.
fn one(key: &Key, value: &str) -> Option<Rule> {
    let name = key.name.into();
    match key.kind {
        Kind::Flag => return flag(key.name, value),
        Kind::Interval if let Ok(seconds) = parse_interval(value).map(Interval::seconds) => {
            return match seconds {
                0 => Some(Rule::Zero { key: name }),
                seconds if seconds > LONGEST => Some(Rule::Long { key: name, seconds }),
                _ => None,
            };
        }
        Kind::Peer => return peer(value),
        Kind::Networks => {
            let (word, fault) = networks::check(value)?;
            return Some(Rule::Network {
                key: name,
                word: word.into(),
                fault,
            });
        }
        _ => {}
    }
    let expected = of_kind(&key.kind, value).err()?;
    Some(Rule::Value {
        key: name,
        value: value.into(),
        expected,
    })
}

/// What is expected instead of a value that is not of its kind.
fn of_kind(kind: &Kind, value: &str) -> Result<(), Expected> {
    let is_word = !value.is_empty() && !value.contains(char::is_whitespace);
    match kind {
        Kind::Interval => parse_interval(value).map(drop),
        Kind::Integer(range) => parse_integer(value, range).map(drop),
        Kind::Word if !is_word => Err(Expected::Word),
        Kind::Interface if !is_interface(value) => Err(Expected::Interface {
            length: value.len(),
        }),
        Kind::Addresses if !value.split_whitespace().all(is_address) => Err(Expected::Addresses),
        Kind::Choice(words) if !words.contains(&value) => Err(Expected::OneOf(words)),
        _ => Ok(()),
    }
}

/// A flag is true for exactly five words, and every other value is false, but only the listed ones
/// are surely meant to be. The compiler takes `auto = 1` for true.
fn flag(key: &str, value: &str) -> Option<Rule> {
    const FALSE: [&str; 12] = [
        "", "f", "false", "n", "no", "off", "nil", "0", "none", "never", "disable", "disabled",
    ];
    let plain = FALSE.iter().any(|word| word.eq_ignore_ascii_case(value));
    let compilers = key == "auto" && value == "1";
    (!is_true(value) && !plain && !compilers).then(|| Rule::Flag {
        key: key.into(),
        value: value.into(),
    })
}

/// What is wrong with the address of a peer.
fn peer(value: &str) -> Option<Rule> {
    Some(match address::check(value).err()? {
        AddressFault::Value(expected) => Rule::Value {
            key: "peer".into(),
            value: value.into(),
            expected,
        },
        AddressFault::NotQuitePassive => Rule::NotQuitePassive {
            value: value.into(),
        },
        AddressFault::Host { host, fault } => Rule::Host {
            host: host.into(),
            fault,
        },
    })
}

/// What is wrong with a command for the shell.
fn shell(key: &Key, value: &str) -> Vec<Rule> {
    let name = || key.name.into();
    if value.trim().is_empty() {
        return vec![Rule::EmptyCommand { key: name() }];
    }
    let quotes = quotes::check(value, Reader::Shell);
    let quotes = quotes.map(|fault| Rule::Quotes { key: name(), fault });
    quotes.into_iter().collect()
}

fn program(key: &Key, value: &str) -> Vec<Rule> {
    let name = || key.name.into();
    let mut words = Words::new(value);
    let Some(program) = words.next() else {
        return vec![Rule::EmptyCommand { key: name() }];
    };
    let mut rules = Vec::new();
    let quotes = quotes::check(value, Reader::Words);
    rules.extend(quotes.map(|fault| Rule::Quotes { key: name(), fault }));
    if !program.starts_with('/') {
        rules.push(Rule::RelativeProgram {
            key: name(),
            program: program.into(),
        });
    }
    // A word that is an operator, or that begins with a variable or a home directory, only has an
    // effect with a shell. Inside a word such characters may be meant literally.
    let meant = Words::new(value).find(|word| {
        OPERATORS.contains(&&**word) || ["$", "~/", "`"].iter().any(|start| word.starts_with(start))
    });
    rules.extend(meant.map(|word| Rule::NeedsShell {
        key: name(),
        word: word.into(),
    }));
    rules
}

fn is_interface(name: &str) -> bool {
    (1..=MAX_INTERFACE).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

/// An address with or without a mask, which is a length or, with IPv4, an address too.
fn is_address(word: &str) -> bool {
    let (address, mask) = match word.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (word, None),
    };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    mask.is_none_or(|mask| {
        mask.parse::<u8>().is_ok_and(|length| length <= longest)
            || (longest == 32 && mask.parse::<Ipv4Addr>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_values_pass() {
        for (key, value) in [
            ("watch", "t"),
            ("watch", "on"),
            ("watch", "no"),
            ("watch", ""),
            ("watch", "False"),
            ("cork", "OFF"),
            ("auto", "1"),
            ("every", "5m"),
            ("backoff", "1"),
            ("every", "7d"),
            ("connect-timeout", "1"),
            ("keepalive", "30"),
            ("retries", "5"),
            ("mtu", "1400"),
            ("ifup", "/usr/sbin/tripe-ifup --name 'a b' x&y"),
            (
                "connect",
                "ssh hub 'tripectl submit connect passive $HOST' | head -1",
            ),
            ("peer", "PASSIVE"),
            ("peer", "INET hub.example.com 4070"),
            ("peer", "inet6 2001:db8::1"),
            ("peer", "hub.example.com"),
            ("peer", "hub.example.com tripe"),
            ("peer", "ANY 192.0.2.1 4070"),
            ("key", "hub"),
            ("knock", "site.gate"),
            ("ifname", "vpn-hub"),
            ("laddr", "10.0.0.1/24 2001:db8::1/64 10.0.0.2/255.255.255.0"),
            ("laddr", ""),
            ("ping", "encrypted"),
            ("nets", "10.1.0.0/16 lan"),
            ("user", ""),
            ("domain", "example.com"),
            ("P", "x"),
        ] {
            assert_eq!(check(key, value), [], "{key} = {value}");
        }
    }

    /// The words of what is wrong with a pair.
    fn words(key: &str, value: &str) -> Vec<String> {
        check(key, value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bad_values_are_told_with_what_is_expected() {
        for (key, value, message) in [
            ("watch", "True", "counts as false: write t"),
            ("watch", "1", "watch = \"1\" is not true here"),
            ("every", "soon", "a time interval (a whole number"),
            ("every", "0", "every is zero"),
            (
                "timeout",
                "0s",
                "timeout is zero, but the service waits for a second at least",
            ),
            ("backoff", "0", "backoff is zero, but"),
            ("backoff-max", "0h", "backoff-max is zero, but"),
            ("keepalive", "0", "keepalive is zero, which leaves no time"),
            ("every", "99999d", "at most 10000 days"),
            ("ifup-timeout", "1.5", "a time interval"),
            (
                "disconnect-timeout",
                "0",
                "the script is ended at once: give it some seconds, or remove the key",
            ),
            (
                "timeout",
                "10000d",
                "timeout is 864000000 s, which is longer than 604800 s (7 days) and probably a mistake",
            ),
            ("backoff-max", "604801", "is 604801 s, which is longer"),
            ("keepalive", "300h", "is 1080000 s, which is longer"),
            ("retries", "0", "a whole number from 1 to 1000"),
            ("retries", "+3", "a whole number from 1 to 1000"),
            ("mtu", "20", "a whole number from 68 to 65535"),
            ("ifup", " ", "ifup is empty"),
            ("connect", "", "connect is empty"),
            ("ifup", "tripe-ifup", "without its directory"),
            ("ifup", "/bin/up > /tmp/log", "without a shell, but \">\""),
            ("on-up", "tell", "without its directory"),
            ("on-down", "", "on-down is empty"),
            ("on-up-timeout", "soon", "a time interval"),
            (
                "ifdown",
                "/bin/down $HOME",
                "without a shell, but \"$HOME\"",
            ),
            ("peer", "passive", "for a passive peer write PASSIVE"),
            ("peer", "", "PASSIVE or [INET|INET6|ANY] HOST [PORT]"),
            (
                "peer",
                "INET 300.1.2.3 4070",
                "peer has the host \"300.1.2.3\"",
            ),
            (
                "watch",
                "enabled",
                "watch = \"enabled\" is not true here, so it counts as false: write t",
            ),
            ("mobile", "TRUE", "mobile = \"TRUE\" is not true here"),
            ("auto", "01", "is not true here"),
            ("ifup", "/bin/up 'x", "is not closed"),
            ("connect", "ssh 'x", "is not closed"),
            (
                "nets",
                "10.0.0.0/33",
                "nets has \"10.0.0.0/33\", which has the mask",
            ),
            ("key", "two words", "one word without blanks"),
            ("priv", "", "one word without blanks"),
            ("ifname", "vpn-a-very-long-name", "1 to 15 bytes and not 20"),
            ("ifname", "a/b", "without blanks, / and :"),
            ("laddr", "10.0.0.1/33", "addresses such as"),
            ("laddr", "10.0.0.1, 10.0.0.2", "addresses such as"),
            ("raddr", "host", "addresses such as"),
            ("ping", "fast", "where transport or encrypted is expected"),
            ("when-dead", "stay", "where kill or retry is expected"),
            ("nets", "a\0b", "nets has a NUL character"),
            ("domain", "a\0b", "domain has a NUL character"),
        ] {
            let found = words(key, value);
            let [found] = found.as_slice() else {
                unreachable!("{key} = {value:?}: {found:?}");
            };
            assert!(found.contains(message), "{found}");
        }
    }

    #[test]
    fn characters_that_are_hardly_meant_are_found() {
        let pairs = [
            ("w\u{430}tch", "t"),
            ("ifup", "\u{201c}/bin/up\u{201d}"),
            ("note", "\u{201c}Paris\u{201d}"),
            ("x", "a\u{a0}b"),
        ];
        let record = Record::new("h\u{200b}ub", pairs);
        let found: Vec<String> = characters(&record).map(|rule| rule.to_string()).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        for (found, words) in found.iter().zip([
            "the peer's name has the character U+200B, an invisible zero-width space, at 2 of 4",
            "the value of ifup has the character U+201C, which looks like a quotation mark",
            "the key w\u{430}tch has the character U+0430, which looks like a, at 2 of 5",
            "the value of x has the character U+00A0, an invisible no-break space",
        ]) {
            assert!(found.starts_with(words), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "\\PC{0,30}", index in 0..keys::KEYS.len()) {
            let _ = check(keys::KEYS[index].name, &value);
            let _ = check(&value, "");
        }
    }
}
