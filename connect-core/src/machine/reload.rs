// SPDX-License-Identifier: GPL-3.0-or-later
//! A changed peer database: loaded as a whole, and applied only to the peers that it changes.

use std::sync::Arc;

use connect_ipc::PeerId;
use connect_ipc::control::DatabaseOrigin;
use connect_ipc::event::EventKind;
use connect_policy::pinging::is_watched;
use peerdb::Database;

use super::database::{DatabaseFile, Loaded};
use super::liveness::WatchAs;
use super::liveness::adoption::plan_of;
use super::{Machine, Milestone, Output};

impl Machine {
    /// A signal asks for the database to be read.
    pub(super) fn reload_by_signal(&mut self) {
        tracing::info!("reading the database because of SIGHUP");
        // For the service manager the end of a reload is READY=1, so no reload may begin before
        // core is ready.
        if self.server.joined_before() {
            self.database.reloading = true;
            self.out.push(Output::ServiceManager(Milestone::Reloading));
        }
        self.out.push(Output::ReadDatabase);
    }

    /// The database file was read, for the first time or after it changed.
    pub(super) fn database_read(&mut self, loaded: Loaded) {
        let asked = std::mem::take(&mut self.database.reloading);
        if asked {
            self.out.push(Output::ServiceManager(Milestone::Reloaded));
        }
        match loaded {
            Loaded::Faulty { fault } => {
                if self.database.fault.as_ref() != Some(&fault) {
                    self.events.counters.reload_faults += 1;
                    if self.database.is_there() {
                        // The next line says why.
                        tracing::warn!("keeping the database that was read before");
                        self.warn(["peerdb-error"], &[&fault]);
                    } else {
                        tracing::warn!(
                            "no usable database yet: {fault}; core loads the file once it is usable"
                        );
                        self.warn_unlogged(["peerdb-error"], &[&fault]);
                    }
                }
                // Sent each time: an operator may have asked for it and wait for the result.
                self.emit(None, || EventKind::DatabaseFault {
                    fault: fault.clone(),
                });
                self.database.fault = Some(fault);
            }
            Loaded::Usable {
                database,
                faults,
                more_faults,
                file,
            } => {
                for fault in &faults {
                    tracing::warn!(error = fault, "a record of the peer database is faulty");
                }
                if more_faults > 0 {
                    tracing::warn!(
                        count = more_faults,
                        "more records of the peer database are faulty"
                    );
                }
                self.use_database(database, file, asked);
            }
        }
    }

    /// Uses a database that was read from the file; `asked` if a signal has asked for it.
    fn use_database(&mut self, database: Arc<Database>, file: Option<DatabaseFile>, asked: bool) {
        let peers = database.sorted_peers().len() as u64;
        if self.database.fault.take().is_some() {
            tracing::info!(peers, "the database can be read again");
        }
        let is_first = !self.database.is_there();
        self.database.origin = DatabaseOrigin::File;
        self.database.file = file;
        self.events.counters.reloads += u64::from(!is_first);
        self.database.current = database;
        self.peers.departures.keep_expected(&self.database.current);
        let now = self.now;
        self.additions.database_read(&self.database.current, now);
        let changed = self.note_standings(&Arc::clone(&self.database.current));
        let waiting = self.change_counts();
        let joined_before = self.server.joined_before();
        log_waiting(peers, waiting.total(), asked || joined_before);
        self.emit(None, || EventKind::Database { peers, waiting });
        let begun = is_first.then(|| self.first_database_begins());
        self.apply(changed);
        if let Some(waiting) = begun {
            self.first_database_ends(waiting);
        }
        if joined_before {
            self.notify_unlogged("peerdb-update");
        }
    }

    /// Applies the database in use to the peers whose record it has changed.
    fn apply(&mut self, ids: Vec<PeerId>) {
        let database = Arc::clone(&self.database.current);
        let mut wanted = Vec::new();
        let (mut replanned, mut earlier) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            let new = database.peer(peer.name());
            let watched = new.filter(|record| is_watched(record));
            if let Some(record) = new {
                peer.record = Some(record.clone());
                if peer.algorithms.is_none() && record.get("ifdown").is_some() {
                    self.server.questions.add(id);
                }
            }
            match (self.peers.adoption_mut(id), watched) {
                (Some(adoption), Some(record)) => {
                    let (plan, kind) = plan_of(record, self.config.ping);
                    adoption.kind = kind;
                    if *adoption.liveness.plan() != plan {
                        let before = adoption.liveness.phase().due;
                        adoption.liveness.replan(plan, self.now);
                        let is_earlier = adoption.liveness.phase().due < before;
                        earlier.extend(is_earlier.then_some(id));
                        replanned.push(id);
                    }
                }
                (Some(_), None) => self.disown(id),
                (None, Some(_)) => wanted.push(id),
                (None, None) => {}
            }
        }
        for id in earlier {
            self.check_moved(id);
        }
        self.watch(&replanned, WatchAs::Replanned);
        // Before that, peers may have figures that wait for the list.
        if self.server.joined_before() {
            self.adopt_many(&wanted);
        }
        self.forget_scripts_without_record();
    }

    /// Forgets which scripts have failed that no record names any more.
    pub(super) fn forget_scripts_without_record(&mut self) {
        let (peers, database) = (&self.peers, &self.database.current);
        let hooks = &self.config.hooks;
        self.scripts.failures.retain(|name, kind| {
            let record = peers.record_of(name, database);
            record.is_some_and(|record| hooks.has(record, kind))
        });
    }
}

/// Logs that a database was loaded, if an operator has to do something about it, or if that is not
/// the first one.
fn log_waiting(peers: u64, waiting: u64, is_later: bool) {
    if waiting > 0 {
        let verb = if waiting == 1 {
            "peer differs"
        } else {
            "peers differ"
        };
        tracing::info!(
            peers,
            waiting,
            "database loaded; {waiting} {verb} from it; connect-cli reload lists them, with the \
             command for each"
        );
    } else if is_later {
        tracing::info!(peers, "database loaded");
    }
}
