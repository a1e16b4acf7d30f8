// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of peers, users and the start-up list against each other.

use std::collections::{HashMap, HashSet};

use super::rule::Rule;
use crate::database::Database;
use crate::record::Record;

/// Gives what is wrong to `found`, with the peer that it is to be told of.
pub(super) fn check(database: &Database, mut found: impl FnMut(Option<&Record>, Rule)) {
    shared(database, &mut found);
    users(database, &mut found);
    start_up(database, &mut found);
}

/// Interface names and addresses that several peers have.
fn shared(database: &Database, found: &mut impl FnMut(Option<&Record>, Rule)) {
    let mut interfaces: HashMap<&str, &Record> = HashMap::new();
    let mut addresses: HashMap<&str, &Record> = HashMap::new();
    for peer in database.sorted_peers() {
        if let Some(ifname) = peer.get("ifname") {
            if let Some(first) = interfaces.get(ifname) {
                let rule = Rule::SameInterface {
                    ifname: ifname.to_owned(),
                    first: first.name().to_owned(),
                };
                found(Some(peer), rule);
            } else {
                interfaces.insert(ifname, peer);
            }
        }
        if let Some(address) = peer.get("peer").filter(|_| !peer.is_passive()) {
            if let Some(first) = addresses.get(address) {
                let rule = Rule::SameAddress {
                    address: address.to_owned(),
                    first: first.name().to_owned(),
                };
                found(Some(peer), rule);
            } else {
                addresses.insert(address, peer);
            }
        }
    }
}

/// Users and the peers that they stand for.
fn users(database: &Database, found: &mut impl FnMut(Option<&Record>, Rule)) {
    for (user, name) in database.users() {
        match database.peer(name) {
            None => {
                let rule = Rule::UserWithoutPeer {
                    user: user.to_owned(),
                    peer: name.to_owned(),
                };
                found(None, rule);
            }
            Some(peer) if !peer.is_passive() => {
                let user = user.to_owned();
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
        let peer = name.clone();
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
}
