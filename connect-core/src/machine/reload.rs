// SPDX-License-Identifier: GPL-3.0-or-later
//! A changed peer database: taken over whole, applied to the peers that it changes, and to no
//! others.

use std::sync::Arc;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::event::EventKind;
use connect_plan::pinging::ping_plan;
use peerdb::{Database, LoadError};

use super::Machine;
use super::liveness::WatchAs;

/// How many faults of single records are logged; the rest is counted.
const FAULTS_LOGGED: usize = 20;

impl Machine {
    /// The database file was read, for the first time or after it changed.
    pub fn database(&mut self, loaded: Result<Database, LoadError>, now: Monotonic) {
        self.now = now;
        match loaded {
            Err(error) => {
                let fault = error.to_string();
                if self.database.fault.as_ref() != Some(&fault) {
                    tracing::warn!("{fault}; what was read before stays in use");
                    self.counters.reload_faults += 1;
                    self.warn(["peerdb-error"], &[&fault]);
                }
                // Told each time: somebody may have asked to look, and waits for what came of it.
                self.emit(None, || EventKind::DatabaseFault {
                    fault: fault.clone(),
                });
                self.database.fault = Some(fault);
            }
            Ok(database) => {
                log_faults(&database);
                self.database.fault = None;
                self.counters.reloads += 1;
                let peers = database.sorted_peers().len() as u64;
                self.emit(None, || EventKind::Database { peers });
                self.database.current = Arc::new(database);
                self.apply();
                if self.joined_before {
                    self.notify(["peerdb-update"], &[""; 0]);
                }
            }
        }
    }

    /// Applies the database in use to the peers that the server has.
    fn apply(&mut self) {
        let database = Arc::clone(&self.database.current);
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        let mut wanted = Vec::new();
        let mut replanned = Vec::new();
        for id in ids {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            let new = database.peer(peer.name());
            if new == peer.record.as_ref() {
                continue;
            }
            let watch = new.is_some_and(|record| record.flag("watch"));
            if let Some(record) = new {
                peer.record = Some(record.clone());
                if peer.algorithms.is_none() && record.get("ifdown").is_some() {
                    self.unasked.push(id);
                }
            }
            match (&mut peer.adoption, watch) {
                (Some(adoption), true) => {
                    let Some(record) = &peer.record else { continue };
                    let (plan, kind, faults) = ping_plan(record, self.config.ping);
                    for fault in faults {
                        tracing::warn!("{fault}; the default is used");
                    }
                    adoption.kind = kind;
                    if *adoption.liveness.plan() != plan {
                        adoption.liveness.replan(plan, self.now);
                        replanned.push(id);
                    }
                }
                (Some(_), false) => self.disown(id),
                (None, true) => wanted.push(id),
                (None, false) => {}
            }
        }
        self.watch(&replanned, WatchAs::Replanned);
        self.adopt_many(&wanted);
    }
}

fn log_faults(database: &Database) {
    for problem in database.problems().iter().take(FAULTS_LOGGED) {
        tracing::warn!("in the peer database: {problem}");
    }
    let more =
        database.problems().len().saturating_sub(FAULTS_LOGGED) + database.problems_omitted();
    if more > 0 {
        tracing::warn!("{more} more faults in the peer database");
    }
}
