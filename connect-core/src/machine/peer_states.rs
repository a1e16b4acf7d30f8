// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of each peer, including those that the server should have but does not.
//!
//! The rows of peers that the server does not have are made from the database and the departures on
//! request, so nothing has to be updated for them in between.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::changes::RecordStanding;
use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::control::{ConnectionStatus, PeerScripts, PeerState, PeerStatus, ServerLink};
use connect_ipc::statistics::PingStatistics;
use connect_policy::pinging::is_watched;
use peerdb::Record;

use super::Machine;
use super::departures::Departure;
use super::peers::{Adoption, Peer, PeerCounts};

/// How long a peer may be added and checked before it counts as one that should be up and is not.
const PENDING: Duration = Duration::from_secs(60);

impl Machine {
    /// How many peers the server has, how many of them are adopted, how many of those do not
    /// answer, and how many are gone.
    #[must_use]
    pub fn counts(&self) -> PeerCounts {
        self.peers.counts()
    }

    /// The state of a peer that the server has.
    pub(super) fn peer_state(&self, id: PeerId, peer: &Peer) -> PeerState {
        if self.additions.is_under_way(peer.name()) {
            return PeerState::Adding;
        }
        match peer.adoption() {
            None => PeerState::Unwatched,
            // Without the server, nobody knows whether the tunnel still is there.
            Some(_) if self.link() != ServerLink::Up || self.overdue(id).is_some() => {
                PeerState::Unknown
            }
            Some(adoption) => adoption.state(),
        }
    }

    /// Since when a peer that is now added has not been up; `None` if it is up, or nothing is known
    /// of it.
    pub(super) fn not_up_since(&self, name: &str) -> Option<Monotonic> {
        let peer = self.peers.find(name).and_then(|id| self.peers.get(id));
        let Some(peer) = peer else {
            let departure = self.peers.departures.get(name);
            return departure.filter(|it| it.is_loss()).map(|it| it.at);
        };
        let adoption = peer.adoption()?;
        let history = &adoption.history;
        match adoption.state() {
            PeerState::Down => history.changed.or(Some(history.since)),
            PeerState::Checking => Some(history.since),
            _ => None,
        }
    }

    /// For how many seconds there have been attempts to add or check the peer, if that is unusually
    /// long: a first check may take as long as its plan says.
    fn pending(&self, name: &str, state: PeerState, adoption: Option<&Adoption>) -> Option<u64> {
        let tried = self.additions.attempts.since(name);
        let (since, usual) = match (state, adoption) {
            (PeerState::Adding, _) => (tried?, 0),
            (PeerState::Checking, Some(adoption)) => {
                let since = adoption.history.since;
                let plan = adoption.liveness.plan();
                let check = plan.timeout.saturating_mul(plan.retries);
                let usual = plan.every.saturating_add(check);
                (tried.map_or(since, |tried| tried.min(since)), usual)
            }
            _ => return None,
        };
        let time = self.now.since(since);
        (time > PENDING.max(Duration::from_secs(usual.into()))).then_some(time.as_secs())
    }

    /// The state of a peer that the server does not have: `None` if it is not expected.
    pub(super) fn absent_state(
        &self,
        record: Option<&Record>,
        name: &str,
        auto: bool,
    ) -> Option<PeerState> {
        if self.additions.is_under_way(name) {
            return Some(PeerState::Adding);
        }
        if let Some(departure) = self.peers.departures.get(name) {
            return Some(if departure.is_loss() {
                PeerState::Gone
            } else {
                PeerState::Killed
            });
        }
        let record = record?;
        if record.is_passive() {
            Some(PeerState::Waiting)
        } else if auto {
            Some(PeerState::Absent)
        } else if record.get("user").is_some() {
            Some(PeerState::Waiting)
        } else {
            is_watched(record).then_some(PeerState::Absent)
        }
    }

    /// The row of one peer, if the server has it or it is expected.
    pub(super) fn peer_row(&self, name: &str) -> Option<PeerStatus> {
        if let Some(id) = self.peers.find(name) {
            let peer = self.peers.get(id);
            return peer.map(|peer| self.present_row(id, peer));
        }
        let database = &self.database.current;
        self.absent_row(database.peer(name), name, database.is_auto(name))
    }

    fn absent_row(&self, record: Option<&Record>, name: &str, auto: bool) -> Option<PeerStatus> {
        let state = self.absent_state(record, name, auto)?;
        let departure = self.peers.departures.get(name);
        let gone = |departure: &Departure| self.now.since(departure.at).as_secs();
        // If a peer with `auto` is absent or gone, an attempt to add it may have just failed again.
        let is_gone = matches!(state, PeerState::Absent | PeerState::Gone);
        let is_tried = state == PeerState::Adding || auto && is_gone;
        let tried = self.additions.attempts.since(name).filter(|_| is_tried);
        let tried = tried.map(|since| self.now.since(since).as_secs());
        Some(PeerStatus {
            wanted: match state {
                PeerState::Adding | PeerState::Gone => true,
                PeerState::Absent => auto,
                _ => false,
            },
            address: departure
                .and_then(|departure| departure.address.as_deref())
                .map(str::to_owned),
            age: departure.map(gone).max(tried).unwrap_or(0),
            connection: ConnectionStatus {
                removal: departure.map(|departure| departure.removal),
                pending: self.pending(name, state, None),
                next_add_ms: self
                    .additions
                    .revivals
                    .due(name)
                    .filter(|_| self.link() == ServerLink::Up)
                    .map(|due| millis(due.since(self.now))),
                add_failure: self.additions.revivals.failure(name).cloned(),
                lookup: departure.and_then(|_| self.lookup_status(name, record)),
                record: (auto && state == PeerState::Absent && self.server.joined_before())
                    .then_some(RecordStanding::New),
                ..ConnectionStatus::default()
            },
            ..self.row(name, state)
        })
    }

    fn present_row(&self, id: PeerId, peer: &Peer) -> PeerStatus {
        let ago = |at: Monotonic| self.now.since(at).as_secs();
        let state = self.peer_state(id, peer);
        let mut status = PeerStatus {
            wanted: state != PeerState::Unwatched,
            address: peer.address.as_deref().map(str::to_owned),
            interface: peer.ifname.as_deref().map(str::to_owned),
            age: ago(peer.seen),
            ..self.row(peer.name(), state)
        };
        if let Some(adoption) = peer.adoption() {
            let phase = adoption.liveness.phase();
            (status.failures, status.failed_checks) = (phase.failures, phase.failed_checks);
            // No check is planned if a ping is under way, or if the peer is being removed.
            let planned =
                !adoption.liveness.is_checked(self.now) && peer.outcome.killed_for.is_none();
            if planned && self.link() == ServerLink::Up {
                status.next_ping_ms = Some(millis(phase.due.since(self.now)));
            }
            let history = &adoption.history;
            status.age = ago(history.since);
            // A peer that is added again while it is down was down before.
            let tried = self.additions.attempts.since(peer.name());
            let tried = tried.filter(|_| state == PeerState::Down).map(ago);
            status.connection = ConnectionStatus {
                changed: history.changed.map(ago).max(tried),
                reconnects: history.reconnects,
                last_reconnect: history.last_reconnect.map(ago),
                removal: None,
                overdue: self.overdue(id).map(|overdue| overdue.as_secs()),
                unsent: adoption.unsent,
                pending: self.pending(peer.name(), state, Some(adoption)),
                next_add_ms: None,
                add_failure: None,
                lookup: self.lookup_status(peer.name(), peer.record.as_ref()),
                record: None,
            };
            status.statistics = *adoption.liveness.statistics();
        }
        status.connection.record = self.record_standing(peer);
        status
    }

    /// A row with name, state and scripts; the caller fills in the rest.
    fn row(&self, name: &str, state: PeerState) -> PeerStatus {
        PeerStatus {
            name: name.to_owned(),
            state,
            wanted: false,
            address: None,
            interface: None,
            failures: 0,
            failed_checks: 0,
            next_ping_ms: None,
            age: 0,
            connection: ConnectionStatus::default(),
            statistics: PingStatistics::default(),
            scripts: PeerScripts {
                failed: self.scripts.failures.of(name, self.now),
                long: self.scripts.long_of(name, self.now),
            },
        }
    }
}
