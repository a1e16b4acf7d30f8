// SPDX-License-Identifier: GPL-3.0-or-later
//! What core keeps of a peer that is gone, to undo its setups.

use connect_policy::hooks::Occasion;
use peerdb::Record;

use super::progress::PeerSetups;
use crate::machine::peers::{Algorithms, Peer};

/// What is needed of a peer to undo its setups.
#[derive(Clone, Debug)]
pub(in crate::machine) struct Remains {
    /// The progress of the setups.
    pub(super) setups: PeerSetups,
    /// Its record, as it was last known.
    pub(super) record: Option<Record>,
    /// The record with which they were made, if it is another one.
    pub(super) in_use: Option<Box<Record>>,
    pub(super) algorithms: Option<Algorithms>,
    /// The interface and the address that the peer had.
    pub(super) ifname: Option<Box<str>>,
    pub(super) address: Option<Box<str>>,
    /// What its `on-down` is told, if that was seen.
    pub(super) occasion: Option<Occasion>,
}

impl Remains {
    /// What is left of this peer.
    pub(in crate::machine) fn of(peer: &Peer) -> Self {
        Remains {
            setups: peer.setups.all(),
            record: peer.record.clone(),
            in_use: peer.superseded.clone(),
            algorithms: peer.algorithms.clone(),
            ifname: peer.ifname.clone(),
            address: peer.address.clone(),
            occasion: None,
        }
    }

    /// What an earlier core has left of a peer.
    pub(super) const fn left(
        setups: PeerSetups,
        record: Option<Record>,
        algorithms: Option<Algorithms>,
    ) -> Self {
        Remains {
            setups,
            record,
            in_use: None,
            algorithms,
            ifname: None,
            address: None,
            occasion: None,
        }
    }

    /// Takes over what has become known of the peer since, until it was gone.
    pub(super) fn complete(&mut self, later: Remains) {
        self.algorithms = self.algorithms.take().or(later.algorithms);
        self.ifname = self.ifname.take().or(later.ifname);
        self.address = self.address.take().or(later.address);
        self.occasion = self.occasion.take().or(later.occasion);
    }
}

/// The keys and values of a record, for the next core or the script helper.
pub(in crate::machine) fn pairs(record: &Record) -> Vec<(String, String)> {
    let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    record.iter().map(pair).collect()
}
