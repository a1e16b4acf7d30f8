// SPDX-License-Identifier: GPL-3.0-or-later
//! How each peer differs from the database: found when a database is loaded, and answered on
//! request.

use std::collections::HashSet;

use connect_ipc::PeerId;
use connect_ipc::changes::{ChangeCounts, Changes, PeerChange, RecordStanding};
use connect_ipc::control::PeerState;
use connect_ipc::frame::length;
use connect_policy::changes::{after_ifup, of_absent, of_present};
use connect_policy::size::MAX_CONTENTS;
use peerdb::Database;

use super::found::{ChangesFound, LISTED};
use crate::machine::Machine;
use crate::machine::peers::Peer;

impl Machine {
    /// Finds how each peer that the server has differs from a database that is about to be used.
    /// Returns those whose record has changed or was removed.
    pub(in crate::machine) fn note_standings(&mut self, database: &Database) -> Vec<PeerId> {
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        let mut changed = Vec::new();
        for id in ids {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            let new = database.peer(peer.name());
            let removed = new.is_none() && peer.record.is_some();
            let was_removed = std::mem::replace(&mut peer.record_removed, removed);
            if new == peer.record.as_ref() && !was_removed {
                continue;
            }
            changed.push(id);
            if new.is_none() {
                continue;
            }
            let in_use = peer.record_in_use().cloned();
            let waits = of_present(in_use.as_ref(), new).is_some();
            peer.superseded = in_use.filter(|_| waits).map(Box::new);
        }
        changed
    }

    /// The `ifup` of a peer is run with its present record.
    pub(in crate::machine) fn interface_uses_record(&mut self, name: &str) {
        let id = self.peers.find(name);
        let Some(peer) = id.and_then(|id| self.peers.get_mut(id)) else {
            return;
        };
        if let Some(in_use) = peer.superseded.take()
            && let Some(record) = &peer.record
        {
            let in_use = after_ifup(&in_use, record);
            let waits = of_present(Some(&in_use), Some(record)).is_some();
            peer.superseded = waits.then(|| Box::new(in_use));
        }
    }

    /// How a peer that the server has differs from the database, if it does. Nothing is known of
    /// that while there is no database.
    pub(in crate::machine) fn record_standing(&self, peer: &Peer) -> Option<RecordStanding> {
        peer.standing().filter(|_| self.database.is_there())
    }

    /// How a peer differs from the database, if it does. A peer that the server does not have
    /// differs if its record says that it is added at start-up, or if it was removed to be added
    /// again.
    pub(super) fn change_of(&self, name: &str) -> Option<PeerChange> {
        let record = self.database.current.peer(name);
        if let Some(peer) = self.peers.find(name).and_then(|id| self.peers.get(id)) {
            self.record_standing(peer)?;
            return of_present(peer.record_in_use(), record);
        }
        // Removed to be added again, which then failed: only the operator adds it now.
        let replaced = self.peers.departures.is_replaced(name);
        let is_new = self.server.joined_before()
            && (replaced || self.absent_state(record, name, true) == Some(PeerState::Absent));
        record.filter(|_| is_new).and_then(of_absent)
    }

    /// The peers that differ from the database, and how, in no order. It looks at the whole table,
    /// so use it only for requests and when a database is loaded.
    fn standings(&self) -> Vec<(&str, RecordStanding)> {
        let present = self.peers.iter();
        let mut found: Vec<(&str, RecordStanding)> = present
            .filter_map(|(_, peer)| Some((peer.name(), self.record_standing(peer)?)))
            .collect();
        // A name may be in the list twice.
        let auto: HashSet<&str> = self
            .database
            .current
            .auto()
            .iter()
            .map(|it| &**it)
            .chain(self.peers.departures.replaced())
            .collect();
        let new = auto
            .into_iter()
            .filter(|name| self.peers.find(name).is_none() && self.change_of(name).is_some());
        found.extend(new.map(|name| (name, RecordStanding::New)));
        found
    }

    /// How many peers differ from the database.
    pub(in crate::machine) fn change_counts(&self) -> ChangeCounts {
        counts(&self.standings())
    }

    /// These peers in the order in which changes are applied: removed ones first and new ones last,
    /// since another peer may have their address, and then by name.
    pub(super) fn standings_in_turn(&self) -> Vec<(&str, RecordStanding)> {
        let mut standings = self.standings();
        let turn = |standing: RecordStanding| match standing {
            RecordStanding::Removed => 0,
            RecordStanding::Changed => 1,
            RecordStanding::New => 2,
        };
        standings.sort_unstable_by_key(|(name, standing)| (turn(*standing), *name));
        standings
    }

    /// How the peer of this name differs from the database, if it does.
    pub(in crate::machine) fn standing_of(&self, name: &str) -> Option<RecordStanding> {
        if let Some(peer) = self.peers.find(name).and_then(|id| self.peers.get(id)) {
            return self.record_standing(peer);
        }
        let may = self.database.current.is_auto(name) || self.peers.departures.is_replaced(name);
        (may && self.change_of(name).is_some()).then_some(RecordStanding::New)
    }

    /// The changes that were found, as many as fit into a message.
    pub(in crate::machine) fn changes_found(&self, found: &ChangesFound) -> Changes {
        let listed = found.in_turn().take(LISTED);
        let mut changes = Changes {
            peers: self.database.current.sorted_peers().len() as u64,
            counts: found.counts(),
            list: listed.filter_map(|name| self.change_of(name)).collect(),
        };
        // Names of keys may be long.
        while length(&changes) > MAX_CONTENTS && !changes.list.is_empty() {
            changes.list.truncate(changes.list.len() / 2);
        }
        changes
    }
}

fn counts(standings: &[(&str, RecordStanding)]) -> ChangeCounts {
    let mut counts = ChangeCounts::default();
    for (_, standing) in standings {
        counts.add(*standing);
    }
    counts
}
