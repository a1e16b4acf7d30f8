// SPDX-License-Identifier: GPL-3.0-or-later
//! When a peer is added again that did not answer, whose other host has left, or that could not be
//! added at start-up, and what ends that.

use std::sync::Arc;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::event::Removal;
use connect_liveness::backoff;
use connect_policy::pinging::ping_plan;
use peerdb::Record;

use super::revivals::{Revival, Stage, comes_back};
use crate::machine::Machine;
use crate::machine::peers::Peer;
use crate::machine::requester::Requester;

/// How many additions are begun in one turn, so that the turn stays short when a server returns
/// after a long time; the others follow in the next turns.
const BEGUN_IN_A_TURN: usize = 64;

impl Machine {
    /// A peer was removed. If it did not answer, or the other host has ended the connection, or
    /// nobody has seen why, and its record asks for it, it is added again after a pause.
    pub(in crate::machine) fn note_death(
        &mut self,
        id: PeerId,
        name: &str,
        peer: &Peer,
        removal: Removal,
    ) {
        let before = self.additions.revivals.get(name);
        let before = before.map_or(0, |revival| revival.failures);
        self.additions.revivals.end(name);
        // What is removed unseen may have been removed by the last core, for its silence: core is
        // killed before it has written that down, or the server is lost before it has told.
        let again = matches!(
            removal,
            Removal::Silence { .. } | Removal::Left | Removal::Unseen
        );
        let waiting = &mut self.inheritance.waiting;
        waiting.peer_removed(name, again, self.now);
        let database = Arc::clone(&self.database.current);
        let record = comes_back(&database, name);
        let (true, Some(record)) = (again, record) else {
            return;
        };
        let failures = if peer.has_answered() { 0 } else { before };
        self.revive_later(id, name, record, failures + 1);
    }

    fn revive_later(&mut self, id: PeerId, name: &str, record: &Record, failures: u32) {
        let (plan, ..) = ping_plan(record, self.config.ping);
        let pause = backoff::pause(&plan, id, failures);
        tracing::info!(
            peer = name,
            seconds = pause.as_secs(),
            "adding {name} again after a pause"
        );
        let revival = Revival {
            stage: Stage::Waiting(self.now + pause),
            failures,
            id,
            record: record.clone(),
            failure: None,
        };
        self.additions.revivals.set(name, revival);
    }

    /// A peer could not be added at start-up, or has gone before there was a database. If its
    /// record asks for it, it is added after a pause.
    pub(in crate::machine) fn revive_by_name(&mut self, name: &str) {
        // It has had no number that would spread the attempts of many.
        self.revive_absent(PeerId(self.additions.revivals.len() as u64), name);
    }

    /// A peer that did not answer was to be added at another address, and could not be. If it was
    /// removed for that, and its record asks for it, it is added again after a pause.
    pub(in crate::machine) fn revive_moved(&mut self, id: PeerId, name: &str) {
        self.revive_absent(id, name);
    }

    fn revive_absent(&mut self, id: PeerId, name: &str) {
        let database = Arc::clone(&self.database.current);
        if let (None, Some(record)) = (self.peers.find(name), comes_back(&database, name)) {
            self.revive_later(id, name, record, 1);
        }
    }

    /// Whether attempts can be made: until the server has listed its peers, it may already have the
    /// peer.
    fn may_revive(&self) -> bool {
        self.link() == ServerLink::Up && !self.server.leaving
    }

    /// When the next of these peers is to be added.
    pub(in crate::machine) fn revival_deadline(&self) -> Option<Monotonic> {
        let (at, _) = self.additions.revivals.next()?;
        self.may_revive().then_some(*at)
    }

    /// Adds the peers whose time has come.
    pub(in crate::machine) fn tend_revivals(&mut self) {
        if !self.may_revive() {
            return;
        }
        for _ in 0..BEGUN_IN_A_TURN {
            let first = self.additions.revivals.next();
            let Some((_, name)) = first.filter(|(at, _)| *at <= self.now).cloned() else {
                return;
            };
            if self.peers.find(&name).is_some() {
                // Somebody else has added the peer first.
                self.additions.revivals.end(&name);
                continue;
            }
            self.additions.revivals.enter(&name, Stage::Adding);
            self.add_active(&name, Requester::Revival);
        }
    }

    /// The server could not add a peer again.
    pub(in crate::machine) fn revival_failed(&mut self, name: &str) {
        let Some(revival) = self.additions.revivals.get(name).cloned() else {
            return;
        };
        if self.peers.find(name).is_some() {
            self.additions.revivals.end(name);
        } else {
            let failures = revival.failures.saturating_add(1);
            self.revive_later(revival.id, name, &revival.record, failures);
        }
    }
}
