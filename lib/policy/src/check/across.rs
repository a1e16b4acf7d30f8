// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of peers, users and the start-up list against each other.

use std::collections::{HashMap, HashSet};

use peerdb::{Database, Record};

use super::rule::Rule;
use crate::pinging::{WhenDead, is_watched};

/// Calls `found` with each mistake and the peer for which it is reported.
pub(super) fn check(database: &Database, mut found: impl FnMut(Option<&Record>, Rule)) {
    shared(database, &mut found);
    users(database, &mut found);
    start_up(database, &mut found);
}

/// Interface names and addresses that several peers have.
fn shared(database: &Database, found: &mut impl FnMut(Option<&Record>, Rule)) {
    let mut owners: HashMap<(&str, &str), &Record> = HashMap::new();
    for peer in database.sorted_peers() {
        let address = peer.get("peer").filter(|_| !peer.is_passive());
        for (key, value) in [("ifname", peer.get("ifname")), ("peer", address)] {
            let Some(value) = value else { continue };
            let owner = *owners.entry((key, value)).or_insert(peer);
            if !std::ptr::eq(owner, peer) {
                let (value, first) = (value.into(), owner.name().into());
                let rule = match key {
                    "ifname" => Rule::SameInterface {
                        ifname: value,
                        first,
                    },
                    _ => Rule::SameAddress {
                        address: value,
                        first,
                    },
                };
                found(Some(peer), rule);
            }
        }
    }
}

/// Users and the peers that they stand for.
fn users(database: &Database, found: &mut impl FnMut(Option<&Record>, Rule)) {
    for (user, name) in database.users() {
        match database.peer(name) {
            None => {
                let (user, peer) = (user.into(), name.into());
                found(None, Rule::UserWithoutPeer { user, peer });
            }
            Some(peer) if !peer.is_passive() => {
                let user = user.into();
                found(Some(peer), Rule::UserOfActive { user });
            }
            Some(_) => {}
        }
    }
}

/// The list of peers to be added at start-up.
fn start_up(database: &Database, found: &mut impl FnMut(Option<&Record>, Rule)) {
    let mut listed = HashSet::new();
    for name in database.auto() {
        let peer = name.into();
        if !listed.insert(name.as_str()) {
            found(None, Rule::AutoTwice { peer });
            continue;
        }
        match database.peer(name) {
            None => found(None, Rule::AutoMissing { peer }),
            Some(record) if record.is_passive() => found(Some(record), Rule::AutoPassive),
            Some(_) => {}
        }
    }
    for peer in database.sorted_peers() {
        if peer.flag("auto") && !listed.contains(peer.name()) {
            found(Some(peer), Rule::AutoUnlisted);
        }
        if peer.get("when-dead") == Some("retry") {
            let comes_back = WhenDead::of(peer) == WhenDead::Retry && is_watched(peer);
            if peer.is_passive() {
                found(Some(peer), Rule::RetryPassive);
            } else if !comes_back || !listed.contains(peer.name()) {
                found(Some(peer), Rule::NoRetry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_between_records_are_found() {
        let peers = [
            Record::new(
                "a",
                [("peer", "INET h 1"), ("ifname", "vpn"), ("auto", "t")],
            ),
            Record::new("b", [("peer", "INET h 1"), ("auto", "t")]),
            Record::new("c", [("peer", "PASSIVE"), ("ifname", "vpn")]),
            Record::new("d", [("peer", "PASSIVE")]),
        ];
        let users = [("u", "a"), ("v", "nobody"), ("w", "d")];
        let users = users.map(|(user, peer)| (user.to_owned(), peer.to_owned()));
        let auto = ["a", "a", "c", "gone"].map(str::to_owned);
        let database = Database::from_parts(peers, users, auto);
        let mut all = Vec::new();
        check(&database, |peer, rule| {
            all.push((peer.map(|peer| peer.name().to_owned()), rule));
        });
        let at = |name: &str| Some(name.to_owned());
        assert_eq!(
            all,
            [
                (
                    at("b"),
                    Rule::SameAddress {
                        address: "INET h 1".into(),
                        first: "a".into()
                    }
                ),
                (
                    at("c"),
                    Rule::SameInterface {
                        ifname: "vpn".into(),
                        first: "a".into()
                    }
                ),
                (at("a"), Rule::UserOfActive { user: "u".into() }),
                (
                    None,
                    Rule::UserWithoutPeer {
                        user: "v".into(),
                        peer: "nobody".into()
                    }
                ),
                (None, Rule::AutoTwice { peer: "a".into() }),
                (at("c"), Rule::AutoPassive),
                (
                    None,
                    Rule::AutoMissing {
                        peer: "gone".into()
                    }
                ),
                (at("b"), Rule::AutoUnlisted),
            ]
        );
    }

    #[test]
    fn a_retry_that_has_no_effect_is_found() {
        let retry = ("when-dead", "retry");
        let (address, watch) = (("peer", "INET h 1"), ("watch", "t"));
        let peers = [
            Record::new("good", [address, watch, retry]),
            Record::new("dynamic", [address, watch, ("connect", "k"), retry]),
            Record::new(
                "may-leave",
                [address, watch, ("connect", "k"), ("mobile", "t"), retry],
            ),
            Record::new("knocks", [address, watch, ("knock", "k"), retry]),
            Record::new("unlisted", [address, watch, retry]),
            Record::new("unwatched", [address, retry]),
            Record::new("kill", [address, ("when-dead", "kill")]),
            Record::new("passive", [("peer", "PASSIVE"), watch, retry]),
        ];
        let auto = ["good", "dynamic", "may-leave", "knocks", "unwatched"].map(str::to_owned);
        let database = Database::from_parts(peers, [], auto);
        let mut told = Vec::new();
        start_up(&database, &mut |peer: Option<&Record>, rule| {
            let is_passive = peer.is_some_and(Record::is_passive);
            let expected = if is_passive {
                Rule::RetryPassive
            } else {
                Rule::NoRetry
            };
            assert_eq!(rule, expected);
            told.extend(peer.map(|peer| peer.name().to_owned()));
        });
        assert_eq!(told, ["dynamic", "passive", "unlisted", "unwatched"]);
    }
}
