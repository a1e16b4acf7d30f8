// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of the key `peer`: `PASSIVE`, or the words of an address as `ADD` takes them
//! (tripe-admin(5)).

use std::net::{IpAddr, Ipv6Addr};

use connect_ipc::lookup::Family;
use peerdb::{Name, Severity};
use tripe_admin::Words;

use crate::value::{Expected, hexadecimal, is_digits, is_hexadecimal, is_numeric};

/// What stands for the address of a passive peer.
const PASSIVE: &str = "PASSIVE";

/// The longest name of a host, and the longest part of one between dots (RFC 1035).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// What is wrong with a value of `peer`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AddressFault {
    /// Its words are not those of an address.
    Value(Expected),
    /// It is `PASSIVE` in other letters.
    NotQuitePassive,
    /// The host is malformed.
    Host { host: String, fault: HostFault },
}

/// What is wrong with a host.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum HostFault {
    /// `192.0.2.1:4070`
    #[error("has its port after a colon: write {host} {port}, with a space between")]
    ColonPort { host: Name, port: Name },
    /// `[2001:db8::1]`
    #[error("is in brackets, which the server takes as part of a name: write {0}")]
    Brackets(Name),
    /// `192.0.2.1/24`
    #[error("has a mask, but a peer is one address: write {0}")]
    Mask(Name),
    /// `https://hub.example.com/`
    #[error("is a URL: write the name of its host alone")]
    Url,
    /// Numbers and dots that are no IPv4 address.
    #[error("is no IPv4 address ({reason}): write four numbers from 0 to 255, such as 192.0.2.1")]
    NoIpv4 { reason: String },
    /// Something with colons that is no IPv6 address.
    #[error("is no IPv6 address: write one such as 2001:db8::1")]
    NoIpv6,
    /// An IPv6 address where the family says IPv4.
    #[error("is an IPv6 address, but the family is INET: write INET6")]
    WantsInet6,
    /// An IPv4 address where the family says IPv6.
    #[error("is an IPv4 address, but the family is INET6: write INET")]
    WantsInet,
    /// A character that cannot be in the name of a host.
    #[error("has the character {0:?}, which no name of a host has: remove it")]
    Character(char),
    /// A part of the name is empty: `hub..example.com`.
    #[error("has an empty part, before, after or between dots: write one dot between two parts")]
    EmptyLabel,
    /// A part of the name is too long.
    #[error(
        "has a part of {length} bytes between dots, but at most {MAX_LABEL} are allowed: \
             shorten it"
    )]
    LongLabel { length: usize },
    /// The name is too long.
    #[error("is a name of {length} bytes, but at most {MAX_HOST} are allowed: shorten it")]
    LongName { length: usize },
    /// A name with letters beyond ASCII.
    #[error(
        "has the letter {0}, which is not in ASCII, and few servers look such names up: write \
         the form of the name that begins with xn--"
    )]
    NotAscii(char),
    /// A short form of an IPv4 address.
    #[error(
        "stands for {meant}, since the last number of a short address fills what is missing: write \
         four numbers"
    )]
    ShortIpv4 { meant: IpAddr },
    /// An IPv4 address in a notation that only old functions of the system read.
    #[error("is an old way to write {meant}: write {meant}")]
    OldIpv4 { meant: IpAddr },
    /// A number with a zero before it, which some read as octal.
    #[error(
        "has a number with a zero before it, which makes it octal to some: remove the zero{}",
        octal(.meant.as_ref())
    )]
    Octal {
        /// What it stands for then.
        meant: Option<IpAddr>,
    },
    /// An address that is only valid on one link.
    #[error(
        "is an address of one link (fe80::/10), and the server does not keep the link: use another \
         address of the peer"
    )]
    LinkLocal,
    /// An address that is not the one of a single other host.
    #[error("is {kind}, not that of one peer: write the peer's own address")]
    NoPeer { kind: &'static str },
    /// An IPv4 address in the form of an IPv6 address.
    #[error("is an IPv4 address written as an IPv6 address: write INET {0}")]
    Mapped(IpAddr),
}

fn octal(meant: Option<&IpAddr>) -> String {
    meant.map_or_else(String::new, |meant| {
        format!(", or write {meant} if that is meant")
    })
}

impl HostFault {
    pub(super) fn severity(&self) -> Severity {
        match self {
            // These can be used, but probably not as they were meant.
            HostFault::NotAscii(_)
            | HostFault::ShortIpv4 { .. }
            | HostFault::OldIpv4 { .. }
            | HostFault::Octal { .. }
            | HostFault::LinkLocal
            | HostFault::NoPeer { .. }
            | HostFault::Mapped(_) => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// What is wrong with the value.
pub(super) fn check(value: &str) -> Result<(), AddressFault> {
    if value == PASSIVE {
        return Ok(());
    }
    let expected = |expected| Err(AddressFault::Value(expected));
    let words = Words::new(value).owned();
    let family = words.first().and_then(|word| Family::named(word));
    let rest = &words[usize::from(family.is_some())..];
    let first = rest.first();
    if first.is_some_and(|word| word.eq_ignore_ascii_case(PASSIVE)) {
        return Err(AddressFault::NotQuitePassive);
    }
    let (host, port) = match rest {
        [host] => (host, None),
        [host, port] => (host, Some(port)),
        _ => return expected(Expected::Peer),
    };
    if host.is_empty() || value.contains(['\n', '\r']) {
        return expected(Expected::Peer);
    }
    if let Some(fault) = self::host(host, family) {
        let host = host.clone();
        return Err(AddressFault::Host { host, fault });
    }
    match port {
        Some(port) if !is_port(port) => expected(Expected::Port),
        _ => Ok(()),
    }
}

/// A number that can be sent to, or the name of a service.
fn is_port(port: &str) -> bool {
    if is_digits(port) {
        return port.parse::<u16>().is_ok_and(|port| port > 0);
    }
    let first = port.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && port.bytes().any(|byte| byte.is_ascii_alphabetic())
        && port
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+*".contains(&byte))
}

fn host(host: &str, family: Option<Family>) -> Option<HostFault> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return match (family, address) {
            (Some(Family::Inet), IpAddr::V6(_)) => Some(HostFault::WantsInet6),
            (Some(Family::Inet6), IpAddr::V4(_)) => Some(HostFault::WantsInet),
            _ => address_of_peer(address),
        };
    }
    if host.contains("://") {
        return Some(HostFault::Url);
    }
    if let Some(rest) = host.strip_prefix('[') {
        let inner = rest.split(']').next().unwrap_or(rest);
        return Some(HostFault::Brackets(inner.into()));
    }
    if let Some((address, mask)) = host.split_once('/')
        && !mask.is_empty()
        && address.parse::<IpAddr>().is_ok()
    {
        return Some(HostFault::Mask(address.into()));
    }
    let colons = host.bytes().filter(|byte| *byte == b':').count();
    match host.split_once(':') {
        Some((name, port)) if colons == 1 => {
            let (host, port) = (name.into(), port.into());
            Some(HostFault::ColonPort { host, port })
        }
        Some(_) => Some(scoped(host)),
        None if is_numeric(host) => ipv4(host),
        None => name(host),
    }
}

/// What is wrong with something that has colons like an IPv6 address, but is none.
fn scoped(host: &str) -> HostFault {
    match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => HostFault::LinkLocal,
        _ => HostFault::NoIpv6,
    }
}

/// Whether an address is the one of a single host somewhere else.
fn address_of_peer(address: IpAddr) -> Option<HostFault> {
    if let IpAddr::V6(six) = address {
        if let Some(four) = six.to_ipv4_mapped() {
            return Some(HostFault::Mapped(four.into()));
        }
        if six.segments()[0] & 0xffc0 == 0xfe80 {
            return Some(HostFault::LinkLocal);
        }
    }
    let kind = if address.is_unspecified() {
        "the address of every interface"
    } else if address.is_multicast() {
        "a multicast address"
    } else if matches!(address, IpAddr::V4(four) if four.is_broadcast()) {
        "the broadcast address"
    } else {
        return None;
    };
    Some(HostFault::NoPeer { kind })
}

/// A number as inet_aton(3) reads it; with `decimal`, as a person means it who puts zeros before
/// it.
fn number(text: &str, decimal: bool) -> Option<u64> {
    match hexadecimal(text) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.is_empty() || !is_digits(text) => None,
        None if text.starts_with('0') && !decimal => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// What is wrong with numbers and dots that are no IPv4 address in full.
fn ipv4(host: &str) -> Option<HostFault> {
    let parts: Vec<&str> = host.split('.').collect();
    let octal = |part: &&str| part.len() > 1 && part.starts_with('0') && is_digits(part);
    if parts.iter().any(octal) {
        let read = |decimal| address(&parts, decimal).map(|address| IpAddr::V4(address.into()));
        return match (read(true), read(false)) {
            (Ok(_), meant) => Some(HostFault::Octal { meant: meant.ok() }),
            (Err(_), Ok(meant)) => Some(HostFault::OldIpv4 { meant }),
            (Err(reason), Err(_)) => Some(HostFault::NoIpv4 { reason }),
        };
    }
    Some(match address(&parts, false) {
        Err(reason) => HostFault::NoIpv4 { reason },
        Ok(address) => {
            let meant = IpAddr::V4(address.into());
            match parts.iter().any(|part| is_hexadecimal(part)) {
                true => HostFault::OldIpv4 { meant },
                false => HostFault::ShortIpv4 { meant },
            }
        }
    })
}

/// The address that one to four numbers stand for, or why they stand for none.
fn address(parts: &[&str], decimal: bool) -> Result<u32, String> {
    let mut numbers = Vec::with_capacity(parts.len());
    for part in parts {
        let no = || format!("{part:?} is not a number that fits");
        numbers.push(number(part, decimal).ok_or_else(no)?);
    }
    if numbers.len() > 4 {
        return Err(format!("it has {} numbers, not 4", numbers.len()));
    }
    let Some((last, first)) = numbers.split_last() else {
        return Err("it has no number".to_owned());
    };
    // The last number of a short address stands for all bytes that are left.
    let most = u64::from(u32::MAX) >> (8 * first.len());
    let large = first.iter().map(|number| (*number, 255));
    let mut large = large.chain([(*last, most)]);
    if let Some((number, most)) = large.find(|(number, most)| number > most) {
        return Err(format!("{number} is more than {most}"));
    }
    let high = first
        .iter()
        .zip([24, 16, 8])
        .map(|(number, shift)| number << shift);
    let address = high.sum::<u64>() + last;
    Ok(u32::try_from(address).unwrap_or_default())
}

/// What is wrong with the name of a host.
fn name(host: &str) -> Option<HostFault> {
    let allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if let Some(c) = host.chars().find(|c| !allowed(*c)) {
        return Some(HostFault::Character(c));
    }
    if let Some(c) = host.chars().find(|c| !c.is_ascii()) {
        return Some(HostFault::NotAscii(c));
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.len() > MAX_HOST {
        let length = labels.len();
        return Some(HostFault::LongName { length });
    }
    let mut lengths = labels.split('.').map(str::len);
    lengths.find_map(|length| match length {
        0 => Some(HostFault::EmptyLabel),
        length if length > MAX_LABEL => Some(HostFault::LongLabel { length }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_that_the_server_takes_pass() {
        for value in [
            "PASSIVE",
            "INET hub.example.com 4070",
            "inet6 2001:db8::1",
            "INET6 2001:db8::1 4070",
            "hub.example.com",
            "hub.example.com.",
            "hub_1.example.com tripe",
            "ANY 192.0.2.1 4070",
            "INET 127.0.0.1 4070",
            "INET localhost 3com-tsmux",
            "INET 4you.example.com 1",
            "INET6 ::1 65535",
            "2001:db8::1",
            "xn--bcher-kva.example",
            "0x.example",
            "hub.0x",
            "0xcafe.example.com",
            "INET 0xhub 4070",
        ] {
            assert_eq!(check(value), Ok(()), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told_with_what_to_write() {
        let long = format!("INET {} 1", "a.".repeat(130));
        let label = format!("INET {}.example 1", "a".repeat(64));
        for (value, severity, words) in [
            ("192.0.2.1:4070", Severity::Error, "write 192.0.2.1 4070"),
            (
                "INET hub.example.com:4070",
                Severity::Error,
                "write hub.example.com 4070",
            ),
            ("INET 192.0.2.1:4070 4070", Severity::Error, "after a colon"),
            (
                "INET6 [2001:db8::2] 4070",
                Severity::Error,
                "write 2001:db8::2",
            ),
            ("[2001:db8::2]:4070", Severity::Error, "write 2001:db8::2"),
            (
                "INET 300.1.2.3 4070",
                Severity::Error,
                "300 is more than 255",
            ),
            (
                "INET 1.2.3.4.5 4070",
                Severity::Error,
                "it has 5 numbers, not 4",
            ),
            ("INET 1.2..4 4070", Severity::Error, "no IPv4 address"),
            (
                "INET 4294967296 4070",
                Severity::Error,
                "4294967296 is more than 4294967295",
            ),
            (
                "INET hub.12 4070",
                Severity::Error,
                "\"hub\" is not a number",
            ),
            (
                "INET 192.0.2 4070",
                Severity::Warning,
                "stands for 192.0.0.2",
            ),
            ("INET 192.0.02.1 4070", Severity::Warning, "octal"),
            (
                "INET 192.0.2.010 4070",
                Severity::Warning,
                "remove the zero, or write 192.0.2.8 if that is meant",
            ),
            ("INET 192.0.2.08 4070", Severity::Warning, "remove the zero"),
            ("INET 0300.0.2.1 4070", Severity::Warning, "write 192.0.2.1"),
            (
                "INET 030000001001 4070",
                Severity::Warning,
                "write 192.0.2.1",
            ),
            ("INET 0999.0.2.1 4070", Severity::Error, "999 is more than"),
            (
                "INET 0xC0000201 4070",
                Severity::Warning,
                "an old way to write 192.0.2.1: write 192.0.2.1",
            ),
            ("0xc0.0.0X2.1", Severity::Warning, "write 192.0.2.1"),
            ("ANY 192.0.0x201 4070", Severity::Warning, "write 192.0.2.1"),
            (
                "INET 0x1C0000201 4070",
                Severity::Error,
                "7516193281 is more than 4294967295",
            ),
            ("INET hub.0x12", Severity::Error, "\"hub\" is not a number"),
            ("INET 192.0.2.1/24 4070", Severity::Error, "write 192.0.2.1"),
            (
                "INET6 2001:db8::1/64 4070",
                Severity::Error,
                "write 2001:db8::1",
            ),
            ("INET 2001:db8::4 4070", Severity::Error, "write INET6"),
            ("INET6 192.0.2.1 4070", Severity::Error, "write INET"),
            (
                "INET6 2001:db8:::1 4070",
                Severity::Error,
                "no IPv6 address",
            ),
            (
                "INET6 2001:db8::12345 4070",
                Severity::Error,
                "no IPv6 address",
            ),
            (
                "INET6 1:2:3:4:5:6:7:8:9",
                Severity::Error,
                "no IPv6 address",
            ),
            ("INET6 fe80::1%eth0 4070", Severity::Warning, "one link"),
            ("INET6 fe80::1 4070", Severity::Warning, "one link"),
            (
                "INET6 ::ffff:192.0.2.1 4070",
                Severity::Warning,
                "write INET 192.0.2.1",
            ),
            ("INET 0.0.0.0 4070", Severity::Warning, "every interface"),
            ("INET6 :: 4070", Severity::Warning, "every interface"),
            (
                "INET 255.255.255.255 4070",
                Severity::Warning,
                "the broadcast address",
            ),
            ("INET 224.0.0.1 4070", Severity::Warning, "multicast"),
            ("INET6 ff02::1 4070", Severity::Warning, "multicast"),
            ("https://hub.example.com", Severity::Error, "a URL"),
            ("INET hub,4070", Severity::Error, "the character ','"),
            ("INET root@hub 4070", Severity::Error, "the character '@'"),
            (
                "INET\u{a0}192.0.2.1\u{a0}4070",
                Severity::Error,
                "'\\u{a0}'",
            ),
            ("INET hub..example.com", Severity::Error, "an empty part"),
            ("INET b\u{fc}cher.example", Severity::Warning, "xn--"),
            (long.as_str(), Severity::Error, "259 bytes, but at most 253"),
            (
                label.as_str(),
                Severity::Error,
                "64 bytes between dots, but at most 63",
            ),
            ("passive", Severity::Error, "PASSIVE!"),
            ("INET PASSIVE", Severity::Error, "PASSIVE!"),
            ("PASSIVE ", Severity::Error, "PASSIVE!"),
            (
                "",
                Severity::Error,
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "INET",
                Severity::Error,
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "INET a b c",
                Severity::Error,
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            (
                "INET a\nb",
                Severity::Error,
                "PASSIVE or [INET|INET6|ANY] HOST [PORT]",
            ),
            ("INET hub 0", Severity::Error, "a port from 1 to 65535"),
            ("INET hub 65536", Severity::Error, "a port from 1 to 65535"),
            ("INET hub +4070", Severity::Error, "a port from 1 to 65535"),
            (
                "INET hub 4070/udp",
                Severity::Error,
                "a port from 1 to 65535",
            ),
            ("INET hub 40.70", Severity::Error, "a port from 1 to 65535"),
        ] {
            let found = match check(value) {
                Ok(()) => None,
                Err(AddressFault::Value(expected)) => Some((Severity::Error, expected.to_string())),
                Err(AddressFault::NotQuitePassive) => Some((Severity::Error, "PASSIVE!".into())),
                Err(AddressFault::Host { fault, .. }) => {
                    Some((fault.severity(), fault.to_string()))
                }
            };
            let good = found
                .as_ref()
                .is_some_and(|found| found.0 == severity && found.1.contains(words));
            assert!(good, "{value}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_numbers_make_it_panic(value in "[0-9a-fx.:/%\\[\\] ]{0,30}") {
            let _ = check(&value);
        }
    }
}
