// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer is added to the server or removed from it: what follows for its interface, its connection
//! and its checks.

use connect_ipc::PeerId;
use connect_ipc::control::PeerState;
use connect_ipc::event::{EventKind, Removal};
use tripe_admin::{Address, Failure};

use super::Machine;
use super::departures::Departure;
use super::peers::{Adoption, Particulars, Peer};
use connect_policy::pinging::{is_watched, may_have_left};

impl Machine {
    /// The server has a new peer.
    pub(super) fn peer_added(&mut self, name: &str, ifname: String, address: &Address) {
        // Its removal was not seen, and it is watched under a number that is no longer valid.
        if let Some(old) = self.peers.find(name) {
            self.disown(old);
            self.peer_removed(name, Removal::Unseen);
        }
        self.emit(Some(name), || EventKind::Added {
            address: address.to_string(),
            interface: ifname.clone(),
        });
        self.note_return(name);
        self.additions.revivals.added(name);
        self.inheritance.waiting.peer_added(name);
        let record = self.database.current.peer(name).cloned();
        let id = self.peers.insert(name, record, self.now);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.ifname = Some(ifname.into());
            peer.particulars = Particulars::Known;
        }
        self.peers.set_address(id, address);
        self.configure(id);
        self.adopt_added(id);
    }

    /// The server does not have a peer any more: for the reason `otherwise`, unless core itself has
    /// removed it.
    pub(super) fn peer_removed(&mut self, name: &str, otherwise: Removal) {
        let Some((id, peer)) = self.peers.remove(name) else {
            return;
        };
        // If it comes back it is another one.
        self.pinger.remembered.remove(name);
        let removal = match peer.outcome.killed_for {
            Some(pings) => Removal::Silence { pings },
            None if self.additions.is_under_way(name) => Removal::Replaced,
            None => otherwise,
        };
        let was_up = peer.adoption().map(Adoption::state) == Some(PeerState::Up);
        if (was_up || removal == Removal::Command) && !self.additions.is_under_way(name) {
            self.additions.attempts.end(name);
        }
        self.note_departure(name, &peer, removal);
        self.note_death(id, name, &peer, removal);
        if peer.adoption().is_some() {
            self.forget_at_pinger(id);
            self.fail_asked(id, &["peer-not-added", name]);
        }
        self.emit(Some(name), || EventKind::Removed(removal));
        if peer.outcome.told.is_up() {
            self.tell_down(name, removal.into());
        }
        // If nothing can be ordered yet, its commands end when that is decided.
        let commands = match self.is_undecided(name) {
            true => Vec::new(),
            false => self.mark_connects(name),
        };
        self.scripts.failures.peer_removed(name);
        self.deconfigure(name, &peer, removal);
        // After what follows them: if core is killed in between, nothing is lost.
        self.tell_stops(commands);
    }

    /// Logs that a peer was removed, and remembers it if it is expected back or was removed by a
    /// command.
    fn note_departure(&mut self, name: &str, peer: &Peer, removal: Removal) {
        match removal {
            Removal::Silence { pings: 1 } => {
                tracing::warn!(peer = name, "removed {name}: no answer to 1 ping");
            }
            Removal::Silence { pings } => {
                tracing::warn!(peer = name, "removed {name}: no answer to {pings} pings");
            }
            Removal::Command => tracing::info!(
                peer = name,
                "removed {name}: by a command, by the other host, or because the server ended"
            ),
            Removal::Left => tracing::warn!(
                peer = name,
                "removed {name}: by the other host, or by a command; its record has auto, so it \
                 should come back"
            ),
            Removal::Unseen => tracing::warn!(
                peer = name,
                "removed {name} while the service did not run, or was not connected"
            ),
            // The log has a line for all of them, or for the addition.
            Removal::Replaced | Removal::Server => {}
        }
        let departure = Departure {
            at: match removal {
                // When the server that had it was lost.
                Removal::Server => self.server.awaited.lost_at.unwrap_or(self.now),
                _ => self.now,
            },
            removal,
            address: peer.address.clone(),
            has_answered: peer.has_answered(),
            undecided: !self.database.is_there(),
        };
        // A new core has not adopted the peers yet that an earlier one has watched.
        let is_expected = |record| peer.adoption().is_some() || departure.is_expected(record);
        let record = self.database.current.peer(name);
        // Without a database, the first one decides which of them matter.
        if !self.database.is_there() || record.is_some_and(is_expected) {
            self.peers.departures.note(name, departure);
        }
    }

    /// The server has a peer; if that was gone, it is back.
    pub(super) fn note_return(&mut self, name: &str) {
        let Some(departure) = self.peers.departures.forget(name) else {
            return;
        };
        let is_loss = departure.is_loss() && departure.removal != Removal::Replaced;
        // Otherwise each attempt to add a peer that never answers would be a return.
        if is_loss && departure.has_answered {
            let away = self.now.since(departure.at).as_secs();
            tracing::info!(peer = name, seconds = away, "{name} is at the server again");
            self.emit(Some(name), || EventKind::Back { away });
        }
    }

    /// The server does not have a peer that core has in its table.
    pub(super) fn forget_if_unknown(&mut self, id: PeerId, failure: &Failure) {
        if failure.code() == "unknown-peer" {
            self.forget_peer(id);
        }
    }

    /// The server no longer has a peer.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get(id) {
            let name = peer.name().to_owned();
            self.peer_taken(&name);
        }
    }

    /// The server no longer has a peer, and core need not have removed it: a command has, or the
    /// other host has ended the connection. The server does not say which of them. If it may be the
    /// other host, a peer that should be there must not be missing without a word.
    pub(super) fn peer_taken(&mut self, name: &str) {
        let database = &self.database.current;
        let record = self
            .peers
            .find(name)
            .and_then(|id| self.peers.get(id)?.record_in_use());
        let is_wanted = database.is_auto(name) && database.peer(name).is_some_and(is_watched);
        let may_have_left = record.is_some_and(may_have_left);
        let removal = if is_wanted && may_have_left {
            Removal::Left
        } else {
            Removal::Command
        };
        self.peer_removed(name, removal);
    }
}
