// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of single keys and values.

use std::net::IpAddr;

use tripe_admin::{Interval, Words};

use super::rule::Rule;
use crate::keys::{self, Key, Kind};
use crate::value::{Expected, is_true};

/// The longest name of a network interface: Linux has 16 bytes for it, one of them the end.
const MAX_INTERFACE: usize = 15;

/// What is wrong with one pair.
pub(super) fn check(key: &str, value: &str) -> Vec<Rule> {
    if key.contains('\0') || value.contains('\0') {
        let key = key.to_owned();
        return vec![Rule::Nul { key }];
    }
    let Some(known) = keys::find(key) else {
        return Vec::new();
    };
    match &known.kind {
        Kind::Program => program(known, value),
        Kind::Words => Vec::new(),
        _ => Vec::from_iter(one(known, value)),
    }
}

/// What is wrong with a value of which only one thing can be.
fn one(key: &Key, value: &str) -> Option<Rule> {
    let name = || key.name.to_owned();
    let unexpected = |expected| {
        Some(Rule::Value {
            key: name(),
            value: value.to_owned(),
            expected,
        })
    };
    let is_word = !value.is_empty() && !value.contains(char::is_whitespace);
    match &key.kind {
        Kind::Flag => flag(key.name, value),
        Kind::Interval | Kind::PositiveInterval => match value.parse::<Interval>() {
            Ok(interval) if key.kind == Kind::PositiveInterval && interval.seconds() == 0 => {
                Some(Rule::Zero { key: name() })
            }
            Ok(_) => None,
            Err(tripe_admin::interval::IntervalError::Syntax) => unexpected(Expected::Interval),
            Err(tripe_admin::interval::IntervalError::TooLong) => {
                unexpected(Expected::ShorterInterval)
            }
        },
        Kind::Integer(range) => {
            let number = value.parse().ok().filter(|_| !value.starts_with('+'));
            if number.is_some_and(|number| range.contains(&number)) {
                None
            } else {
                unexpected(Expected::Integer(range.clone()))
            }
        }
        Kind::Shell if value.trim().is_empty() => Some(Rule::EmptyCommand { key: name() }),
        Kind::Peer => peer(value),
        Kind::Word if !is_word => unexpected(Expected::Word),
        Kind::Interface if !is_interface(value) => unexpected(Expected::Interface),
        Kind::Addresses if !value.split_whitespace().all(is_address) => {
            unexpected(Expected::Addresses)
        }
        Kind::Choice(words) if !words.contains(&value) => unexpected(Expected::OneOf(words)),
        Kind::Shell
        | Kind::Word
        | Kind::Interface
        | Kind::Addresses
        | Kind::Choice(_)
        | Kind::Program
        | Kind::Words => None,
    }
}

/// A flag is true for exactly five words, and every other value is false; but only these are
/// surely meant to be. The compiler takes `auto = 1` for true.
fn flag(key: &str, value: &str) -> Option<Rule> {
    let plain = matches!(value, "" | "f" | "false" | "n" | "no" | "off" | "nil" | "0");
    let compilers = key == "auto" && value == "1";
    (!is_true(value) && !plain && !compilers).then(|| Rule::Flag {
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

fn program(key: &Key, value: &str) -> Vec<Rule> {
    let mut words = Words::new(value);
    let Some(program) = words.next() else {
        let key = key.name.to_owned();
        return vec![Rule::EmptyCommand { key }];
    };
    let mut rules = Vec::new();
    if !program.starts_with('/') {
        rules.push(Rule::RelativeProgram {
            key: key.name.to_owned(),
            program: program.into_owned(),
        });
    }
    // A word that is an operator, or that begins with a variable or a home directory, does nothing
    // but with a shell. Within a word such characters may well be meant as they stand.
    let operators = [
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
    let meant = Words::new(value).find(|word| {
        operators.contains(&&**word)
            || word.starts_with('$')
            || word.starts_with("~/")
            || word.starts_with('`')
    });
    if let Some(word) = meant {
        rules.push(Rule::NeedsShell {
            key: key.name.to_owned(),
            word: word.into_owned(),
        });
    }
    rules
}

/// `PASSIVE`, or the words of an address as `ADD` takes them (tripe-admin(5)).
fn peer(value: &str) -> Option<Rule> {
    if value == "PASSIVE" {
        return None;
    }
    if value.trim().eq_ignore_ascii_case("PASSIVE") {
        let value = value.to_owned();
        return Some(Rule::NotQuitePassive { value });
    }
    let unexpected = |expected| {
        Some(Rule::Value {
            key: "peer".to_owned(),
            value: value.to_owned(),
            expected,
        })
    };
    let words = Words::new(value).owned();
    let families = ["INET", "INET6", "ANY"];
    let family = words.first().and_then(|word| {
        families
            .iter()
            .find(|family| family.eq_ignore_ascii_case(word))
    });
    let rest = &words[usize::from(family.is_some())..];
    let (host, port) = match rest {
        [host] => (host, None),
        [host, port] => (host, Some(port)),
        _ => return unexpected(Expected::Peer),
    };
    if host.is_empty() || value.contains(['\n', '\r']) {
        return unexpected(Expected::Peer);
    }
    if let Some(port) = port {
        let number = port.bytes().all(|byte| byte.is_ascii_digit());
        let good = if number {
            port.parse::<u16>().is_ok_and(|port| port > 0)
        } else {
            !port.is_empty()
        };
        if !good {
            return unexpected(Expected::Port);
        }
    }
    match (family, host.parse::<IpAddr>()) {
        (Some(&"INET"), Ok(IpAddr::V6(_))) | (Some(&"INET6"), Ok(IpAddr::V4(_))) => {
            unexpected(Expected::Peer)
        }
        _ => None,
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
            || (longest == 32 && mask.parse::<std::net::Ipv4Addr>().is_ok())
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
