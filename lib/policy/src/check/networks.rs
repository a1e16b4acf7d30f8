// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of networks, the words of the key `nets`: a name, or a prefix as ip-route(8) takes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerdb::{Value, count};

use crate::value::is_digits;

/// What is wrong with a network.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum NetworkFault {
    /// It is neither a prefix nor a name.
    #[error("is no network: write a prefix such as 10.1.0.0/16 or 2001:db8::/32, or a name")]
    NoNetwork,
    /// Something that separates networks for people, but not for programs.
    #[error("has the character {0:?}: put white space between networks, and nothing else")]
    Separator(char),
    /// The mask is too long, or no number.
    #[error("has the mask {mask}, where a number from 0 to {longest} is expected: correct it")]
    Mask { mask: Value, longest: u8 },
    /// The address has bits beyond the mask.
    #[error(
        "has bits beyond its mask of {}, which ip-route(8) refuses: the network is \
         {network}/{length}, the address alone {address}",
        count((*.length).into(), "bit")
    )]
    HostBits {
        address: IpAddr,
        network: IpAddr,
        length: u8,
    },
}

/// What is wrong with the first faulty word of `value`, and the word.
pub(super) fn check(value: &str) -> Option<(&str, NetworkFault)> {
    let mut words = value.split_whitespace();
    words.find_map(|word| Some((word, fault(word)?)))
}

/// The words of a value of `nets` that are correct and not addresses: names of networks, which may
/// or may not exist.
pub fn names(value: &str) -> impl Iterator<Item = &str> {
    let words = value.split_whitespace();
    words.filter(|word| fault(word).is_none() && !word.contains('/') && address(word).is_none())
}

fn fault(word: &str) -> Option<NetworkFault> {
    if let Some(separator) = word.chars().find(|c| ",;|".contains(*c)) {
        return Some(NetworkFault::Separator(separator));
    }
    let (text, mask) = match word.split_once('/') {
        Some((text, mask)) => (text, Some(mask)),
        None => (word, None),
    };
    let Some((address, longest)) = address(text) else {
        let looks_like_one = mask.is_some()
            || text.contains(':')
            || text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let name = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let is_name = !looks_like_one && text.chars().all(name) && !text.starts_with('-');
        return (!is_name).then_some(NetworkFault::NoNetwork);
    };
    let mask = mask?;
    let Some(length) = length(mask, longest) else {
        let mask = mask.into();
        return Some(NetworkFault::Mask { mask, longest });
    };
    let network = network(address, length);
    (network != address).then_some(NetworkFault::HostBits {
        address,
        network,
        length,
    })
}

/// An address and the longest mask for it. Of an IPv4 address the last numbers may be left out.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => return Some((address.into(), 32)),
        Ok(IpAddr::V6(address)) => return Some((address.into(), 128)),
        Err(_) => {}
    }
    let mut octets = [0; 4];
    for (count, part) in text.split('.').enumerate() {
        let plain = is_digits(part);
        *octets.get_mut(count)? = part.parse().ok().filter(|_: &u8| plain)?;
    }
    Some((Ipv4Addr::from(octets).into(), 32))
}

/// The number of bits of a mask, which is a number or, with IPv4, an address with its ones first.
fn length(mask: &str, longest: u8) -> Option<u8> {
    let plain = is_digits(mask);
    if let Ok(length) = mask.parse::<u8>() {
        return (plain && length <= longest).then_some(length);
    }
    let bits = u32::from(mask.parse::<Ipv4Addr>().ok()?);
    let whole = longest == 32 && bits.leading_ones() + bits.trailing_zeros() >= 32;
    let ones = u8::try_from(bits.leading_ones()).ok()?;
    whole.then_some(ones)
}

/// The address without the bits beyond the mask.
fn network(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Ipv4Addr::from(u32::from(four) & mask).into()
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Ipv6Addr::from(u128::from(six) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_and_names_pass() {
        for value in [
            "",
            "10.1.0.0/16 lan",
            "10.0.0.0/8 2001:db8::/32 192.0.2.1 ::/0 0.0.0.0/0",
            "10.1.0.0/255.255.0.0",
            "10/8 10.1/16",
            "default site-1.example",
            "192.0.2.1/32 2001:db8::1/128",
        ] {
            assert_eq!(check(value), None, "{value}");
        }
    }

    #[test]
    fn names_are_told_from_addresses() {
        let value = "10.1.0.0/16 lan 10.1 ::1 default lan/24 site-1.example";
        let found: Vec<&str> = names(value).collect();
        assert_eq!(found, ["lan", "default", "site-1.example"]);
    }

    #[test]
    fn what_is_no_network_is_told() {
        for (value, word, words) in [
            (
                "10.1.0.0/16 10.2.0.0/33",
                "10.2.0.0/33",
                "a number from 0 to 32",
            ),
            ("2001:db8::/129", "2001:db8::/129", "from 0 to 128"),
            ("10.0.0.0/", "10.0.0.0/", "from 0 to 32"),
            (
                "10.0.0.0/255.0.255.0",
                "10.0.0.0/255.0.255.0",
                "from 0 to 32",
            ),
            (
                "10.0.0.1/24",
                "10.0.0.1/24",
                "the network is 10.0.0.0/24, the address alone 10.0.0.1",
            ),
            (
                "2001:db8::1/64",
                "2001:db8::1/64",
                "the network is 2001:db8::/64",
            ),
            ("192.0.0.0/1", "192.0.0.0/1", "its mask of 1 bit, which"),
            ("300.1.0.0/16", "300.1.0.0/16", "is no network"),
            ("300.1.0.0", "300.1.0.0", "is no network"),
            ("10.0.0.0.0/8", "10.0.0.0.0/8", "is no network"),
            ("2001:db8:::/32", "2001:db8:::/32", "is no network"),
            ("lan/24", "lan/24", "is no network"),
            ("-lan", "-lan", "is no network"),
            ("la!n", "la!n", "is no network"),
            (
                "10.0.0.0/8,10.1.0.0/16",
                "10.0.0.0/8,10.1.0.0/16",
                "put white space",
            ),
            ("10.0.0.0/8, lan", "10.0.0.0/8,", "put white space"),
        ] {
            let found = check(value).map(|(word, fault)| (word, fault.to_string()));
            let good = found
                .as_ref()
                .is_some_and(|found| found.0 == word && found.1.contains(words));
            assert!(good, "{value}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value in "[0-9a-f.:/, ]{0,30}") {
            let _ = check(&value);
        }
    }
}
