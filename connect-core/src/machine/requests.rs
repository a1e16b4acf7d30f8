// SPDX-License-Identifier: GPL-3.0-or-later
//! Requests on our own sockets: those of operators on `control.sock`, and those of observers on
//! `observe.sock`.

use std::sync::Arc;

use connect_ipc::control::{
    Counters, DatabaseStatus, Envelope, PeerDetail, Reply, Request, SCHEMA, ScriptCounters,
    ServiceStatus,
};
use connect_ipc::event::{Event, EventKind};
use connect_ipc::event_filter::EventFilter;
use connect_ipc::frame::length;
use connect_ipc::hello::Role;
use connect_ipc::scripts::InterfaceScript;
use connect_policy::size::{MAX_CONTENTS, MAX_RECORD};

use super::observing::Purpose;
use super::requester::{OperatorRequest, Requester, ScriptPurpose, ScriptRequest};
use super::{ConnectionId, Machine, Output, Told};

impl Machine {
    /// Handles one request. `by` says from whom it is, for observers.
    pub(super) fn request(
        &mut self,
        connection: ConnectionId,
        by: &str,
        user: Option<u32>,
        envelope: Envelope,
    ) {
        let id = envelope.id;
        match envelope.request {
            Request::Status {} => self.read_state(connection, user, id, Purpose::Status),
            Request::Info { peer } => self.detail(connection, id, &peer),
            Request::Events(filter) => self.subscribe(connection, user, id, filter),
            Request::Recent {} => {
                let recent = fit_events(self.events.recent());
                self.answer(connection, id, Reply::Recent(recent));
            }
            Request::Reload {} => {
                self.out.push(Output::ReadDatabase);
                self.answer(connection, id, Reply::Done {});
            }
            Request::Changes {} => {
                self.read_state(connection, user, id, Purpose::Changes(Box::default()));
            }
            Request::ApplyChanges {} => {
                let request = OperatorRequest {
                    connection,
                    request: id,
                };
                self.apply_changes(by, request);
            }
            Request::Records { after } => {
                let page = self.record_page(&after);
                self.answer(connection, id, Reply::Records(page));
            }
            Request::RunScript { peer, script } => {
                let purpose = ScriptPurpose::Run;
                self.script_requested(by, script_request(connection, id, peer, script, purpose));
            }
            Request::ShowScript { peer, script } => {
                let purpose = ScriptPurpose::Show;
                self.script_requested(by, script_request(connection, id, peer, script, purpose));
            }
            Request::Ping { peer } => {
                let request = OperatorRequest {
                    connection,
                    request: id,
                };
                self.ping_requested(request, &peer);
            }
            Request::Submit { words } => {
                let requester = Requester::Operator {
                    connection,
                    request: id,
                };
                self.submit(&requester, by, &words);
            }
        }
    }

    /// A connection of a helper or an operator has ended.
    pub(super) fn gone(&mut self, connection: ConnectionId) {
        let helper = if self.pinger.helper.lost(connection, self.now) {
            self.pinger_lost();
            Role::Pinger
        } else if self.scripts.helper.lost(connection, self.now) {
            // Its children go on, and the next helper is told about them.
            self.scripts.forget_owed();
            tracing::warn!("the script helper has disconnected");
            Role::Ifscripts
        } else {
            return self.operator_gone(connection);
        };
        self.emit(None, || EventKind::HelperDisconnected { helper });
    }

    /// An operator's connection has ended: what it waited for is forgotten.
    fn operator_gone(&mut self, connection: ConnectionId) {
        self.events.observing.forget(connection);
        self.stop_applying(connection);
        self.forget_asked(connection);
        self.forget(
            &|requester| matches!(requester, Requester::Operator { connection: c, .. } if *c == connection),
        );
    }

    /// An observer wants events. The kinds are noted at once, so that no event is missed.
    fn subscribe(
        &mut self,
        connection: ConnectionId,
        user: Option<u32>,
        id: u64,
        filter: EventFilter,
    ) {
        if let Err(why) = self
            .events
            .observing
            .subscribe(connection, id, filter.kinds)
        {
            return self.answer(connection, id, Reply::Error(why));
        }
        if filter.state {
            let purpose = Purpose::Events(Box::new(filter));
            return self.read_state(connection, user, id, purpose);
        }
        let seq = self.events.last();
        self.answer(connection, id, Reply::Live { seq });
        self.out.push(Output::Subscribe {
            connection,
            request: id,
            filter,
            told: Told::All,
        });
    }

    /// The service as it is now.
    pub(super) fn service(&self) -> ServiceStatus {
        let [pinger, scripts] = self.helpers();
        ServiceStatus {
            schema: SCHEMA,
            version: self.config.version.clone(),
            pid: self.config.pid,
            uptime: self.now.since(self.config.started).as_secs(),
            socket: self.config.socket.display().to_string(),
            server: self.link(),
            database: DatabaseStatus {
                path: self.config.database.display().to_string(),
                checksum: self
                    .database
                    .file
                    .as_ref()
                    .map(|file| file.checksum.clone()),
                modified: self.database.file.as_ref().and_then(|file| file.modified),
                peers: self.database.current.sorted_peers().len() as u64,
                fault: self.database.fault.clone(),
                origin: self.database.origin,
            },
            pinger,
            scripts: self.scripts.status(scripts, self.now),
            counters: Counters {
                scripts: ScriptCounters {
                    pending: self.scripts.pending(),
                    ..self.events.counters.scripts
                },
                ..*self.events.counters
            },
            checks: self.overdue_checks(),
            state_fault: self.state_file(),
            refused_knock: self.refused_knock(),
            seq: self.events.last(),
            observers: self.events.observing.counts,
        }
    }

    fn detail(&mut self, connection: ConnectionId, id: u64, name: &str) {
        let database = Arc::clone(&self.database.current);
        let peer = self.peers.find(name).and_then(|id| self.peers.get(id));
        let record = self.peers.record_of(name, &database);
        let status = self.peer_row(name);
        if status.is_none() && record.is_none() {
            let failure = vec!["unknown-peer".to_owned(), name.to_owned()];
            return self.answer(connection, id, Reply::Failed(failure));
        }
        let pairs = record.map(|record| {
            record
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        });
        let (scripts, recent) = self.scripts.of(name, self.now);
        let detail = PeerDetail {
            schema: SCHEMA,
            status,
            record: pairs,
            scripts,
            recent,
            algorithms: peer
                .and_then(|peer| peer.algorithms.as_deref())
                .unwrap_or_default()
                .to_vec(),
            plan: peer
                .and_then(|peer| peer.adoption())
                .map(|adoption| *adoption.liveness.plan()),
            oversize: None,
        };
        self.answer(connection, id, Reply::Peer(Box::new(fit(detail))));
    }
}

fn script_request(
    connection: ConnectionId,
    request: u64,
    peer: String,
    script: InterfaceScript,
    purpose: ScriptPurpose,
) -> ScriptRequest {
    ScriptRequest {
        by: OperatorRequest {
            connection,
            request,
        },
        peer,
        script,
        purpose,
    }
}

/// Leaves out the oldest events that do not fit into a message.
fn fit_events(mut events: Vec<Event>) -> Vec<Event> {
    while length(&events) > MAX_CONTENTS {
        events.drain(..events.len().div_ceil(2));
    }
    events
}

/// Leaves out what does not fit into a message: a record that is too large, and then the oldest
/// runs.
fn fit(mut detail: PeerDetail) -> PeerDetail {
    let record = detail.record.as_ref().map_or(0, length);
    let is_too_long = |detail: &PeerDetail| length(detail) > MAX_CONTENTS;
    if record > MAX_RECORD {
        (detail.record, detail.oversize) = (None, Some(record));
    }
    while is_too_long(&detail) && !detail.recent.is_empty() {
        detail.recent.drain(..detail.recent.len().div_ceil(2));
    }
    // Very many scripts that wait need room as well.
    if is_too_long(&detail) {
        (detail.record, detail.oversize) = (None, Some(record));
    }
    detail
}
