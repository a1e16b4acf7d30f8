// SPDX-License-Identifier: GPL-3.0-or-later
//! The address that a record gives for its peer: by host name, for the key `re-resolve`, or as a
//! number.

use std::net::{IpAddr, SocketAddr};

use connect_ipc::lookup::Family;
use peerdb::Record;

use crate::adding::address;
use crate::value::is_numeric;

/// The key that asks for lookups.
pub const KEY: &str = "re-resolve";

/// A peer's address by host name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedAddress {
    /// The name of the host.
    pub host: String,
    /// Which addresses of it count.
    pub family: Family,
    /// The port, if it is written as a number.
    pub port: Option<u16>,
}

/// The address by host name in this record; `None` if the record has none, or a numeric one, or
/// the peer is passive.
#[must_use]
pub fn named_address(record: &Record) -> Option<NamedAddress> {
    let words: Vec<String> = address(record).ok()?;
    let given = words.first().and_then(|word| Family::named(word));
    let (host, port) = match &words[usize::from(given.is_some())..] {
        [host] => (host, None),
        [host, port] => (host, port.parse().ok()),
        _ => return None,
    };
    let is_name = !host.is_empty()
        && !host.contains(':')
        && !is_numeric(host)
        && host.parse::<IpAddr>().is_err();
    is_name.then(|| NamedAddress {
        host: host.clone(),
        family: given.unwrap_or(Family::Any),
        port,
    })
}

/// The address in this record, if host and port are written as numbers: nobody else's peer may be
/// moved there.
#[must_use]
pub fn numeric_address(record: &Record) -> Option<SocketAddr> {
    let words: Vec<String> = address(record).ok()?;
    match &words[..] {
        [.., host, port] => Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?)),
        _ => None,
    }
}

/// The host name that is to be looked up again when the peer does not answer; `None` if the record
/// does not ask for that, or has no such name.
#[must_use]
pub fn looked_up(record: &Record) -> Option<NamedAddress> {
    record.flag(KEY).then(|| named_address(record)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str) -> Option<(String, Family, Option<u16>)> {
        let record = Record::new("p", [("peer", peer), (KEY, "t")]);
        looked_up(&record).map(|it| (it.host, it.family, it.port))
    }

    #[test]
    fn only_an_address_by_host_name_can_be_looked_up() {
        let hub = || "hub.example.com".to_owned();
        assert_eq!(
            of("INET hub.example.com 4070"),
            Some((hub(), Family::Inet, Some(4070)))
        );
        assert_eq!(
            of("inet6 hub.example.com tripe"),
            Some((hub(), Family::Inet6, None))
        );
        assert_eq!(of("hub.example.com"), Some((hub(), Family::Any, None)));
        assert_eq!(
            of("ANY hub.example.com 1"),
            Some((hub(), Family::Any, Some(1)))
        );
        for peer in [
            "PASSIVE",
            "",
            "INET",
            "INET 192.0.2.1 4070",
            "192.0.2.1",
            "INET6 2001:db8::1 4070",
            "INET 0x7f000001 1",
            "INET a b c",
        ] {
            assert_eq!(of(peer), None, "{peer}");
        }
    }

    #[test]
    fn a_numeric_address_has_host_and_port() {
        let of = |peer| numeric_address(&Record::new("p", [("peer", peer)]));
        let expected = Some("192.0.2.1:4070".parse().unwrap());
        assert_eq!(of("INET 192.0.2.1 4070"), expected);
        assert_eq!(of("192.0.2.1 4070"), expected);
        let expected = Some("[2001:db8::1]:4070".parse().unwrap());
        assert_eq!(of("INET6 2001:db8::1 4070"), expected);
        for peer in ["PASSIVE", "INET hub.example.com 4070", "192.0.2.1"] {
            assert_eq!(of(peer), None, "{peer}");
        }
    }

    #[test]
    fn nothing_is_looked_up_unless_the_record_asks_for_it() {
        let address = ("peer", "INET hub 1");
        assert!(looked_up(&Record::new("p", [address])).is_none());
        assert!(looked_up(&Record::new("p", [address, (KEY, "no")])).is_none());
        assert!(looked_up(&Record::new("p", [address, (KEY, "t")])).is_some());
    }
}
