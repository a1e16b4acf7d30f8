// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers there are, and which of them the service has adopted.

use std::sync::Arc;

use peerdb::{Database, Record};

use crate::Service;
use crate::pinging::Pinging;
use crate::server::Purpose;

/// A peer that the server has: a number that tells it apart from an earlier peer of the same name,
/// whether its interface is to be configured, and what the server has said about it so far, in this
/// order: its interface, its address, its algorithms.
pub(crate) type Present = (u64, bool, Vec<Vec<String>>);

/// The manual, "Adoption": whether a key is assigned one of these values.
pub(crate) fn is_yes(record: &Record, key: &str) -> bool {
    matches!(record.get(key), Some("t" | "true" | "y" | "yes" | "on"))
}

impl Service {
    /// The manual, "Operation": on startup, connect requests a list of current peers. The manual
    /// does not say so, but a service must claim its name, and must watch for peers that come and
    /// go before it asks which are there.
    pub(crate) fn start(&mut self, startup: bool) {
        self.startup = startup;
        self.command(&["WATCH", "-A+n"], Purpose::Nothing);
        let version = self.version.clone();
        self.command(&["SVCCLAIM", "connect", &version], Purpose::Nothing);
        self.command(&["LIST"], Purpose::List);
    }

    /// The manual, "Operation": adopts any eligible peers. If `--startup` was passed, the newly
    /// adopted peers have their interfaces configured and connection attempts are made.
    /// The manual, "Warnings", `auto-add-failed`: and the peers of `%AUTO` are added.
    pub(crate) fn listed(&mut self, peers: &[Vec<String>]) {
        for peer in peers.iter().filter_map(|words| words.first()) {
            if !self.present.contains_key(peer) {
                let configure = self.startup && self.is_eligible(peer);
                self.ask_about(peer, configure);
                self.adopt_if_eligible(peer);
            }
        }
        let database = self.database.clone().filter(|_| self.startup);
        for peer in database.iter().flat_map(|database| database.auto()) {
            if let Some(record) = self.record(peer) {
                self.add(&record, None, None);
            }
        }
    }

    /// The manual, "Description": when a peer is added, connect arranges to configure the
    /// corresponding network interface, and (if necessary) to initiate a dynamic connection. While
    /// the peer is known, it `PING`s it.
    pub(crate) fn peer_added(&mut self, peer: &str) {
        self.ask_about(peer, true);
        self.adopt_if_eligible(peer);
    }

    /// The manual, "Description": when a peer is removed, connect arranges to bring down the
    /// network interface.
    pub(crate) fn peer_removed(&mut self, peer: &str) {
        self.adopted.remove(peer);
        if let Some((_, _, facts)) = self.present.remove(peer) {
            self.deconfigure(peer, &facts);
            self.disconnect(peer);
        }
    }

    /// The manual, "Adoption": a peer is eligible for adoption if it has a record in the peer
    /// database in which the watch key is assigned one of these values.
    fn is_eligible(&self, peer: &str) -> bool {
        self.record(peer)
            .is_some_and(|record| is_yes(&record, "watch"))
    }

    /// The manual, "Adoption": a peer is said to be adopted when it is added to the list.
    fn adopt_if_eligible(&mut self, peer: &str) {
        if self.is_eligible(peer) {
            self.adopted
                .insert(peer.to_owned(), Pinging::from(self.now));
        }
    }

    /// The manual, "Notifications", `peerdb-update`: the peer database has changed. The manual does
    /// not say what happens to peers that are eligible now and were not, or the other way round:
    /// they are adopted or disowned, since "Adoption" says which peers are on the list. A peer is
    /// said to be disowned when it is removed from the list.
    pub(crate) fn database(&mut self, database: Arc<Database>) {
        if self.database.replace(database).is_some() {
            self.notify(&["peerdb-update"]);
        }
        for peer in self.present.clone().into_keys() {
            if !self.is_eligible(&peer) {
                self.adopted.remove(&peer);
            } else if !self.adopted.contains_key(&peer) {
                self.adopt_if_eligible(&peer);
            }
        }
    }

    /// The manual, "Configuring interfaces": scripts are given the interface as returned by the
    /// `IFNAME` command, the address in the form output by `ADDR`, and the response to `ALGS`.
    fn ask_about(&mut self, peer: &str, configure: bool) {
        let number = self.next_number();
        let present = (number, configure, Vec::new());
        self.present.insert(peer.to_owned(), present);
        for keyword in ["IFNAME", "ADDR", "ALGS"] {
            self.command(&[keyword, peer], Purpose::Fact(peer.to_owned(), number));
        }
    }

    /// The answer to one of these questions. The peer may be gone, or another one.
    pub(crate) fn learned(&mut self, peer: &str, number: u64, fact: Vec<String>) {
        let Some((known, configure, facts)) = self.present.get_mut(peer) else {
            return;
        };
        if *known == number {
            facts.push(fact);
            if facts.len() == 3 && *configure {
                self.configure(peer);
                self.connect(peer);
            }
        }
    }
}
