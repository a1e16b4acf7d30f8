// SPDX-License-Identifier: GPL-3.0-or-later
//! The metrics as text, from the state; those of the service as a whole.

use std::ops::Deref;
use std::time::Duration;

use connect_ipc::control::{
    DatabaseOrigin, DatabaseStatus, LaneStatus, PeerStatus, ScriptCounters, ServerLink,
    ServiceStatus,
};
use connect_ipc::lookup::LookupCounters;
use connect_ipc::observers::ObserverCounts;
use connect_ipc::setup::Lane;
use connect_ipc::write_fault::WriteFault;

use super::exposition::{Exposition, Family, Form, counter, gauge, info, number, truth};
use super::peers::{self, FAMILIES};
use crate::client::connection::ControlError;
use crate::client::limit::within;
use crate::client::state::StateReader;
use crate::common::Common;
use crate::output::status_text;

/// How long a piece of the text is, at least.
const PIECE: usize = 64 * 1024;

const UP: Family = gauge("up", "Whether the service answers.");
const EXPORTER_REFUSED: Family = gauge(
    "exporter_refused",
    "Whether the service is up but accepts no connection for these metrics.",
);
const BUILD: Family = info("build", "The service's version.");
const UPTIME: Family = gauge("uptime_seconds", "Time since core was started.");
const SERVER_UP: Family = gauge(
    "server_up",
    "Whether the service is connected to the tripe server and has claimed its name.",
);
const SERVER_LOSSES: Family = counter(
    "server_losses",
    "How often the connection to the tripe server was lost.",
);
const CHECKS_OVERDUE: Family = gauge(
    "checks_overdue_seconds",
    "Time since the oldest check or answer that is overdue was due; 0 if none is.",
);
const SERVER_OVERDUE: Family = gauge(
    "server_overdue_seconds",
    "Time for which the tripe server has sent nothing although an answer is due; 0 if none is \
     due.",
);
const HELPER_OVERDUE: Family = gauge(
    "helper_overdue_seconds",
    "Time for which a message of the helper has been overdue; 0 if none is.",
);
const HELPER_UP: Family = gauge("helper_up", "Whether the helper is connected.");
const HELPER_RESTARTS: Family = counter(
    "helper_restarts",
    "How often the helper was started again, whether or not it then connected.",
);
const HELPER: Family = info("helper", "The helper's version.");
const DATABASE_PEERS: Family = gauge("database_peers", "Peers in the database in use.");
const DATABASE_IN_USE: Family = gauge(
    "database_in_use",
    "Whether any database is in use; without one, no peer is watched.",
);
const DATABASE_FAULTY: Family = gauge(
    "database_faulty",
    "Whether the present database file cannot be used.",
);
const DATABASE: Family = info(
    "database",
    "The database in use, by the SHA-256 of the file that it was read from.",
);
const DATABASE_MODIFIED: Family = gauge(
    "database_modified_timestamp_seconds",
    "When the file of the database in use was last written, since 1970.",
);
const RELOADS: Family = counter("database_reloads", "Databases loaded after the first.");
const RELOAD_FAULTS: Family = counter("database_faults", "Database files that could not be used.");
const UNREACHABLE: Family = counter("unreachable", "Checks of peers that failed.");
const RECONNECTS: Family = counter(
    "reconnects",
    "Reconnections begun, by the service or by a command.",
);
const LOOKUPS: Family = counter(
    "lookups",
    "Lookups of host names of peers that did not answer, by result.",
);
const SCRIPTS: Family = counter("script_runs", "Scripts that have ended, by result.");
const SCRIPTS_PENDING: Family = gauge("scripts_pending", "Scripts queued and under way.");
const COMMANDS: Family = counter("commands", "Service commands.");
const REFUSED_KNOCKS: Family = counter("refused_knocks", "Knocks that were refused.");
const EVENTS_DROPPED: Family = counter(
    "events_dropped",
    "Events left out for clients that read too slowly, or got too many in a second.",
);
const OBSERVERS: Family = gauge("observers", "Connections on the observers' socket.");
const OBSERVERS_REFUSED: Family = counter(
    "observers_refused",
    "Connections on the observers' socket that found no place.",
);
const STATE_UNWRITTEN: Family = gauge(
    "state_unwritten_seconds",
    "Time for which the state file could not be written; 0 if it can be, or none is kept.",
);
const JOURNAL_UNWRITTEN: Family = gauge(
    "script_journal_unwritten_seconds",
    "Time for which the journal of scripts has had a fault; 0 if it has none.",
);
const SCRIPTS_RUNNING: Family = gauge("scripts_running", "Scripts under way.");
const SCRIPTS_WAITING: Family = gauge(
    "scripts_waiting",
    "Scripts that wait for others of their peer or for a place.",
);
const PLACES_FULL: Family = gauge(
    "script_places_full_seconds",
    "Time for which scripts have waited for a place because as many as are allowed are under \
     way; 0 if none waits for that.",
);
const LOG_LINES_LOST: Family = counter(
    "log_lines_lost",
    "Lines of the program's log that were lost, because nobody read it or it could not be written.",
);

/// The state, or why there is none.
pub(crate) type State = Result<(ServiceStatus, Vec<PeerStatus>), ControlError>;

/// The present state. `limit` is for the whole answer, in addition to the limits for each message.
pub(crate) async fn state(common: &Common, limit: Option<Duration>) -> State {
    let state = async {
        let mut control = common.observe_if_running().await?;
        let (reader, service) = StateReader::begin(&mut control).await?;
        Ok((service, reader.rest().await?))
    };
    within(limit, state, ControlError::Timeout)
        .await
        .unwrap_or_else(Err)
}

/// The text of the metrics, in pieces that are made when they are needed: with many peers it is
/// larger than the state.
#[derive(Debug)]
pub(crate) struct Pieces<S> {
    state: S,
    exposition: Exposition,
    /// The family and the peer that come next.
    family: usize,
    peer: usize,
    ended: bool,
}

impl<S: Deref<Target = State>> Pieces<S> {
    pub(crate) fn new(state: S, form: Form) -> Self {
        let mut exposition = Exposition::new(form);
        collect(&state, &mut exposition);
        Pieces {
            state,
            exposition,
            family: 0,
            peer: 0,
            ended: false,
        }
    }

    /// Whether the last piece was made.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}

impl<S: Deref<Target = State>> Iterator for Pieces<S> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let peers = self.state.as_ref().map_or(&[][..], |(_, peers)| peers);
        while !self.ended && self.exposition.len() < PIECE {
            match (FAMILIES.get(self.family), peers.get(self.peer)) {
                (Some(family), Some(peer)) => {
                    family.write(peer, &mut self.exposition);
                    self.peer += 1;
                }
                (Some(_), None) => (self.family, self.peer) = (self.family + 1, 0),
                (None, _) => {
                    self.exposition.end();
                    self.ended = true;
                }
            }
        }
        Some(self.exposition.take()).filter(|text| !text.is_empty())
    }
}

/// The metrics of the service as a whole.
fn collect(state: &State, out: &mut Exposition) {
    let no_place = matches!(state, Err(ControlError::NoPlace(_)));
    let up = no_place || state.is_ok();
    out.sample(&UP, &[], truth(up));
    if up {
        out.sample(&EXPORTER_REFUSED, &[], truth(no_place));
    }
    if let Ok((service, peers)) = state {
        collect_service(service, out);
        peers::count(peers, out);
    }
}

fn collect_service(service: &ServiceStatus, out: &mut Exposition) {
    let counters = &service.counters;
    let schema = service.schema.to_string();
    let build = [("version", &*service.version), ("schema", &schema)];
    out.sample(&BUILD, &build, 1.0);
    out.sample(&UPTIME, &[], number(service.uptime));
    let up = service.server == ServerLink::Up;
    out.sample(&SERVER_UP, &[], truth(up));
    out.sample(&SERVER_LOSSES, &[], number(counters.server_losses));
    let helpers = [
        ("pinger", &service.pinger),
        ("scripts", &service.scripts.helper),
    ];
    for (name, helper) in helpers {
        let connected = truth(helper.connected);
        out.sample(&HELPER_UP, &[("helper", name)], connected);
    }
    for (name, helper) in helpers {
        let restarts = number(helper.restarts);
        out.sample(&HELPER_RESTARTS, &[("helper", name)], restarts);
    }
    for (name, helper) in helpers {
        if let Some(version) = &helper.version {
            out.sample(&HELPER, &[("helper", name), ("version", version)], 1.0);
        }
    }
    collect_overdue(service, out);
    collect_database(&service.database, out);
    for (family, count) in [
        (&RELOADS, counters.reloads),
        (&RELOAD_FAULTS, counters.reload_faults),
        (&UNREACHABLE, counters.unreachable),
        (&RECONNECTS, counters.reconnects),
    ] {
        out.sample(family, &[], number(count));
    }
    collect_lookups(counters.lookups, out);
    collect_results(&counters.scripts, out);
    for (family, count) in [
        (&SCRIPTS_PENDING, counters.scripts.pending),
        (&COMMANDS, counters.commands),
        (&REFUSED_KNOCKS, counters.refused_knocks),
        (&EVENTS_DROPPED, counters.events_dropped),
    ] {
        out.sample(family, &[], number(count));
    }
    collect_observers(service.observers, out);
    let unwritten = |fault: &Option<WriteFault>| fault.as_ref().map_or(0, |fault| fault.seconds);
    out.sample(
        &STATE_UNWRITTEN,
        &[],
        number(unwritten(&service.state_fault)),
    );
    let unwritten = unwritten(&service.scripts.journal_fault);
    out.sample(&JOURNAL_UNWRITTEN, &[], number(unwritten));
    collect_lanes(service, out);
    for (program, lines) in status_text::log_lines_lost(service) {
        out.sample(&LOG_LINES_LOST, &[("program", program)], number(lines));
    }
}

fn collect_database(database: &DatabaseStatus, out: &mut Exposition) {
    out.sample(&DATABASE_PEERS, &[], number(database.peers));
    let in_use = database.origin != DatabaseOrigin::None;
    out.sample(&DATABASE_IN_USE, &[], truth(in_use));
    out.sample(&DATABASE_FAULTY, &[], truth(database.fault.is_some()));
    if let Some(checksum) = &database.checksum {
        out.sample(&DATABASE, &[("checksum", checksum)], 1.0);
    }
    if let Some(modified) = database.modified {
        out.sample(&DATABASE_MODIFIED, &[], number(modified));
    }
}

fn collect_observers(observers: ObserverCounts, out: &mut Exposition) {
    out.sample(&OBSERVERS, &[], number(observers.connected));
    out.sample(&OBSERVERS_REFUSED, &[], number(observers.refused));
}

/// How many scripts ended in which way.
fn collect_lookups(lookups: LookupCounters, out: &mut Exposition) {
    for (result, count) in [
        ("kept", lookups.kept),
        ("moved", lookups.moved),
        ("failed", lookups.failed),
    ] {
        out.sample(&LOOKUPS, &[("result", result)], number(count));
    }
}

fn collect_results(scripts: &ScriptCounters, out: &mut Exposition) {
    for (result, count) in [
        ("ok", scripts.ok),
        ("failed", scripts.failed),
        ("timed-out", scripts.timed_out),
        ("not-started", scripts.not_started),
        ("lost", scripts.lost),
    ] {
        out.sample(&SCRIPTS, &[("result", result)], number(count));
    }
}

/// How many scripts of each lane run and wait.
fn collect_lanes(service: &ServiceStatus, out: &mut Exposition) {
    let lanes = Lane::ALL.map(|lane| (lane.to_string(), *service.scripts.lanes.get(lane)));
    let mut each = |family: &Family, figure: &dyn Fn(LaneStatus) -> u64| {
        for (lane, status) in &lanes {
            out.sample(family, &[("lane", lane)], number(figure(*status)));
        }
    };
    each(&SCRIPTS_RUNNING, &|lane| lane.running);
    each(&SCRIPTS_WAITING, &|lane| lane.waiting);
    each(&PLACES_FULL, &|lane| lane.full.unwrap_or(0));
}

/// How long checks, answers and messages have been overdue.
fn collect_overdue(service: &ServiceStatus, out: &mut Exposition) {
    let overdue = |seconds: Option<u64>| number(seconds.unwrap_or(0));
    let checks = &service.checks;
    out.sample(&CHECKS_OVERDUE, &[], overdue(checks.overdue));
    out.sample(&SERVER_OVERDUE, &[], overdue(checks.server_silent));
    for (name, helper) in [
        ("pinger", &service.pinger),
        ("scripts", &service.scripts.helper),
    ] {
        let silent = overdue(helper.silent);
        out.sample(&HELPER_OVERDUE, &[("helper", name)], silent);
    }
}
