// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of single keys and values.

use std::net::{IpAddr, Ipv4Addr};

use peerdb::is_true;
use tripe_admin::{Interval, Words};

use super::rule::Rule;
use crate::keys::{self, Key, Kind};
use crate::value::{Expected, parse_integer, parse_interval};

/// The longest name of a network interface: Linux has 16 bytes for it, one of them the end.
const MAX_INTERFACE: usize = 15;

/// What stands for the address of a passive peer.
const PASSIVE: &str = "PASSIVE";

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
        Some(key) => one(key, value).into_iter().collect(),
    }
}

/// What is wrong with a value of which only one thing can be.
fn one(key: &Key, value: &str) -> Option<Rule> {
    let name = key.name.into();
    match key.kind {
        Kind::Flag => return flag(key.name, value),
        Kind::Shell if value.trim().is_empty() => return Some(Rule::EmptyCommand { key: name }),
        Kind::PositiveInterval if parse_interval(value) == Ok(Interval::from_secs(0)) => {
            return Some(Rule::Zero { key: name });
        }
        Kind::Peer if value != PASSIVE && value.trim().eq_ignore_ascii_case(PASSIVE) => {
            let value = value.into();
            return Some(Rule::NotQuitePassive { value });
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
        Kind::Interval | Kind::PositiveInterval => parse_interval(value).map(drop),
        Kind::Integer(range) => parse_integer(value, range).map(drop),
        Kind::Peer => peer(value),
        Kind::Word if !is_word => Err(Expected::Word),
        Kind::Interface if !is_interface(value) => Err(Expected::Interface),
        Kind::Addresses if !value.split_whitespace().all(is_address) => Err(Expected::Addresses),
        Kind::Choice(words) if !words.contains(&value) => Err(Expected::OneOf(words)),
        _ => Ok(()),
    }
}

/// A flag is true for exactly five words, and every other value is false; but only these are
/// surely meant to be. The compiler takes `auto = 1` for true.
fn flag(key: &str, value: &str) -> Option<Rule> {
    let plain = matches!(value, "" | "f" | "false" | "n" | "no" | "off" | "nil" | "0");
    let compilers = key == "auto" && value == "1";
    (!is_true(value) && !plain && !compilers).then(|| Rule::Flag {
        key: key.into(),
        value: value.into(),
    })
}

fn program(key: &Key, value: &str) -> Vec<Rule> {
    let name = || key.name.into();
    let mut words = Words::new(value);
    let Some(program) = words.next() else {
        return vec![Rule::EmptyCommand { key: name() }];
    };
    let mut rules = Vec::new();
    if !program.starts_with('/') {
        rules.push(Rule::RelativeProgram {
            key: name(),
            program: program.into(),
        });
    }
    // A word that is an operator, or that begins with a variable or a home directory, does nothing
    // but with a shell. Within a word such characters may well be meant as they stand.
    let meant = Words::new(value).find(|word| {
        OPERATORS.contains(&&**word) || ["$", "~/", "`"].iter().any(|start| word.starts_with(start))
    });
    rules.extend(meant.map(|word| Rule::NeedsShell {
        key: name(),
        word: word.into(),
    }));
    rules
}

/// `PASSIVE`, or the words of an address as `ADD` takes them (tripe-admin(5)).
fn peer(value: &str) -> Result<(), Expected> {
    if value == PASSIVE {
        return Ok(());
    }
    let words = Words::new(value).owned();
    let named = |family: &&str| {
        words
            .first()
            .is_some_and(|word| family.eq_ignore_ascii_case(word))
    };
    let family = ["INET", "INET6", "ANY"].into_iter().find(named);
    let (host, port) = match &words[usize::from(family.is_some())..] {
        [host] => (host, None),
        [host, port] => (host, Some(port)),
        _ => return Err(Expected::Peer),
    };
    if host.is_empty() || value.contains(['\n', '\r']) {
        return Err(Expected::Peer);
    }
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let good = |port: &String| match digits(port) {
        true => port.parse::<u16>().is_ok_and(|port| port > 0),
        false => !port.is_empty(),
    };
    if !port.is_none_or(good) {
        return Err(Expected::Port);
    }
    match (family, host.parse()) {
        (Some("INET"), Ok(IpAddr::V6(_))) | (Some("INET6"), Ok(IpAddr::V4(_))) => {
            Err(Expected::Peer)
        }
        _ => Ok(()),
    }
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
            ("auto", "1"),
            ("every", "5m"),
            ("backoff", "0"),
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
            ("watch", "True", "counts as false: for true write t,"),
            ("watch", "1", "counts as false"),
            ("every", "soon", "a time interval (a whole number"),
            ("every", "0", "every is zero"),
            ("timeout", "0s", "timeout is zero"),
            ("every", "99999d", "at most 10000 days"),
            ("ifup-timeout", "1.5", "a time interval"),
            ("retries", "0", "a whole number from 1 to 1000"),
            ("retries", "+3", "a whole number from 1 to 1000"),
            ("mtu", "20", "a whole number from 68 to 65535"),
            ("ifup", " ", "ifup is empty"),
            ("connect", "", "connect is empty"),
            ("ifup", "tripe-ifup", "without its directory"),
            ("ifup", "/bin/up > /tmp/log", "without a shell, which \">\""),
            (
                "ifdown",
                "/bin/down $HOME",
                "without a shell, which \"$HOME\"",
            ),
            ("peer", "passive", "for a passive peer write PASSIVE"),
            ("peer", "PASSIVE ", "for a passive peer write PASSIVE"),
            ("peer", "", "PASSIVE or [INET|INET6|ANY] HOST [PORT]"),
            ("peer", "INET", "PASSIVE or [INET|INET6|ANY] HOST [PORT]"),
            (
                "peer",
                "INET a b c",
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "peer",
                "INET a\nb",
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "peer",
                "INET 2001:db8::1 4070",
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "peer",
                "INET6 192.0.2.1 4070",
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            ("peer", "INET hub 0", "a port from 1 to 65535"),
            ("peer", "INET hub 65536", "a port from 1 to 65535"),
            ("key", "two words", "one word without blanks"),
            ("priv", "", "one word without blanks"),
            ("ifname", "vpn-a-very-long-name", "at most 15 bytes"),
            ("ifname", "a/b", "at most 15 bytes"),
            ("laddr", "10.0.0.1/33", "addresses such as"),
            ("laddr", "10.0.0.1, 10.0.0.2", "addresses such as"),
            ("raddr", "host", "addresses such as"),
            ("ping", "fast", "where transport or encrypted is expected"),
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

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "\\PC{0,30}", index in 0..keys::KEYS.len()) {
            let _ = check(keys::KEYS[index].name, &value);
            let _ = check(&value, "");
        }
    }
}
