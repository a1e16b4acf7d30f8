// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer comes to the server and leaves it: what follows for its interface, its connection and its
//! checks.

use connect_ipc::PeerId;
use connect_ipc::control::PeerState;
use connect_ipc::event::{EventKind, Removal};
use connect_ipc::scripts::ScriptKind;
use connect_policy::changes::for_ifdown;
use tripe_admin::{Address, Failure};

use super::Machine;
use super::departures::Departure;
use super::peers::{Adoption, Particulars, Peer};
use super::server::{AfterAlgs, Pending};

impl Machine {
    /// The server has a new peer.
    pub(super) fn peer_added(&mut self, name: &str, ifname: String, address: &Address) {
        // A peer whose removal went unseen is watched under a number that is void now.
        if let Some(old) = self.peers.find(name) {
            self.disown(old);
        }
        self.emit(Some(name), || EventKind::Added {
            address: address.to_string(),
            interface: ifname.clone(),
        });
        self.note_return(name);
        let record = self.database.current.peer(name).cloned();
        let id = self.peers.insert(name, record, self.now);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.ifname = Some(ifname.into());
            peer.set_address(address);
            peer.particulars = Particulars::Known;
        }
        self.configure(id);
        self.adopt_added(id);
    }

    /// Starts what a peer needs that was added: its interface, and the command that connects it
    /// (connect(8), "Configuring interfaces" and "Dynamic connection").
    pub(super) fn configure(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.configured = true;
        self.scripts.failures.peer_added(peer.name());
        let Some(record) = &peer.record else {
            self.server.questions.add(id);
            return;
        };
        if record.get("ifup").is_some() || record.get("ifdown").is_some() {
            let name = peer.name().to_owned();
            self.ask_address(id);
            let pending = Pending::Algs {
                peer: id,
                then: AfterAlgs::Configure,
                pairs: Vec::new(),
            };
            self.command_on_peer(pending, "ALGS", &name);
        } else {
            if peer.particulars == Particulars::Unknown {
                self.ask_address(id);
            }
            self.run_connect(id);
        }
    }

    /// The server does not have a peer any more: for the reason `otherwise`, unless core itself has
    /// removed it.
    pub(super) fn peer_removed(&mut self, name: &str, otherwise: Removal) {
        let Some((id, peer)) = self.peers.remove(name) else {
            return;
        };
        let removal = match peer.killed_for {
            Some(pings) => Removal::Silence { pings },
            None if self.additions.is_under_way(name) => Removal::Replaced,
            None => otherwise,
        };
        let was_up = peer.adoption.as_deref().map(Adoption::state) == Some(PeerState::Up);
        if (was_up || removal == Removal::Command) && !self.additions.is_under_way(name) {
            self.additions.attempts.end(name);
        }
        self.note_departure(name, &peer, removal);
        if peer.adoption.is_some() {
            self.forget_at_pinger(id);
        }
        self.emit(Some(name), || EventKind::Removed(removal));
        self.stop_connect(name);
        self.scripts.failures.peer_removed(name);
        // The record as it is now if there is one; else as it was, so that a peer that was struck
        // from the database is still brought down.
        let record = self.database.current.peer(name).or(peer.record.as_ref());
        if let Some(record) = record.cloned() {
            self.run_shell(name, ScriptKind::Disconnect, &record);
            let algorithms = peer.algorithms.as_deref().unwrap_or_default();
            // It takes down what `ifup` has set up, with the values that `ifup` had.
            let record = match &peer.superseded {
                Some(in_use) => for_ifdown(in_use, &record),
                None => record,
            };
            self.run_ifdown(name, &record, algorithms);
        }
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
                "removed {name}: by a command, or by the peer itself"
            ),
            Removal::Unseen => tracing::warn!(
                peer = name,
                "{name} is not at the server any more: it was removed while the service did not \
                 run, or was not connected"
            ),
            // The log has a line for all of them, or for the addition.
            Removal::Replaced | Removal::Server => {}
        }
        let departure = Departure {
            at: match removal {
                // When the server that had it went.
                Removal::Server => self.server.awaited.lost_at.unwrap_or(self.now),
                _ => self.now,
            },
            removal,
            address: peer.address.clone(),
        };
        let expected = peer.adoption.is_some()
            || !departure.is_loss()
            || departure.removal == Removal::Replaced;
        if expected && self.database.current.peer(name).is_some() {
            self.peers.departures.note(name, departure);
        }
    }

    /// A peer is at the server; if it was gone, it is back.
    pub(super) fn note_return(&mut self, name: &str) {
        let Some(departure) = self.peers.departures.forget(name) else {
            return;
        };
        if departure.is_loss() && departure.removal != Removal::Replaced {
            let away = self.now.since(departure.at).as_secs();
            tracing::info!(peer = name, seconds = away, "{name} is back");
            self.emit(Some(name), || EventKind::Back { away });
        }
    }

    /// The server does not know a peer that we thought it had.
    pub(super) fn forget_if_unknown(&mut self, id: PeerId, failure: &Failure) {
        if failure.code() == "unknown-peer" {
            self.forget_peer(id);
        }
    }

    /// The server no longer has a peer.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get(id) {
            let name = peer.name().to_owned();
            self.peer_removed(&name, Removal::Command);
        }
    }
}
