// SPDX-License-Identifier: GPL-3.0-or-later
//! The service and its helpers: do they run, and are they of the same version?

use std::path::Path;

use connect_ipc::changes::Changes;
use connect_ipc::control::{HelperStatus, ServerLink, ServiceStatus};

use super::finding::{LOOK_IN_LOG, Section};
use super::holder;
use super::lookups::FailedLookups;
use super::missing;
use super::runs::LastRuns;
use crate::client::connection::ControlError;
use crate::client::meant::{Served, leads_to_same};
use crate::client::requests;
use crate::client::state::StateReader;
use crate::common::Common;
use crate::output::change_text;
use crate::output::knock_text;
use crate::output::status_text;
use crate::output::summary::Summary;
use crate::output::text;

/// This program's version.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// For so many seconds after a helper was started again, it counts as one with a fault. Of a
/// service that does not tell when that was, the average time between two restarts must be longer.
const USUAL_RESTART: u64 = 3_600;

/// How many peers that differ from the database are named.
const CHANGES_NAMED: usize = 10;

/// A service, how the scripts of its peers ended, and which peers are missing.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) service: ServiceStatus,
    /// What it says of itself first.
    served: Served,
    pub(crate) runs: LastRuns,
    /// The program that passes the socket on from another host, if one does.
    pub(crate) relay: Option<String>,
    /// The peers that should be up and are not.
    summary: Summary,
    /// The peers whose host names could not be looked up.
    pub(crate) lookups: FailedLookups,
    /// The peers that differ from the database.
    pub(crate) changes: Changes,
}

/// The service that was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// The one that was asked for.
    Ours(Box<Seen>),
    /// One that serves another server than the one named.
    Other(Box<Seen>),
    None(ControlError),
}

impl Found {
    /// The program that passes the socket on from another host, if one does.
    pub(crate) fn relay(&self) -> Option<&str> {
        match self {
            Found::Ours(seen) => seen.relay.as_deref(),
            Found::Other(_) | Found::None(_) => None,
        }
    }

    /// For how many seconds the server has not answered the service that was asked for.
    pub(crate) fn server_silent(&self) -> Option<u64> {
        match self {
            Found::Ours(seen) => seen.service.checks.server_silent,
            Found::Other(_) | Found::None(_) => None,
        }
    }

    /// Whether it is not the one that was asked for.
    pub(crate) fn is_other(&self) -> bool {
        matches!(self, Found::Other(_))
    }
}

/// Looks for the service.
pub(crate) async fn find(common: &Common) -> Found {
    match fetch(common).await {
        Ok(seen) if is_other(&seen, common) => Found::Other(Box::new(seen)),
        Ok(seen) => Found::Ours(Box::new(seen)),
        Err(error) => Found::None(error),
    }
}

/// Whether the service is not the one that was asked for.
fn is_other(seen: &Seen, common: &Common) -> bool {
    common.meant().check(&seen.served).is_err()
        || common.uses_packaged_service() && !is_for_server(&seen.service, common)
}

/// The service to be checked, if it is the one that was asked for.
fn examined<'a>(common: &Common, found: &'a Found, section: &mut Section<'_>) -> Option<&'a Seen> {
    match found {
        Found::Ours(seen) => return Some(seen),
        Found::Other(seen) => section.warning(
            format!(
                "the service in {} belongs to the server on {}, so it is not checked",
                common.runtime().path().display(),
                seen.service.socket
            ),
            "name the runtime directory of the service that you mean with --runtime-dir",
        ),
        // It may have all that would be missed otherwise.
        Found::None(ControlError::Timeout(limit)) => section.fault_with_remedy(
            format!(
                "the service has not answered for {} s: its process hangs or is stopped",
                limit.as_secs()
            ),
            "look at the state of the process connect-core (or connect) with ps: if it is stopped \
             (T), `kill -CONT PID' lets it go on; otherwise end it with `kill -KILL PID', and \
             start the service again: it goes on where it was",
        ),
        Found::None(error) => {
            section.fault_with_remedy(error.to_string(), LOOK_IN_LOG);
            holder::check_without_service(common, section);
        }
    }
    None
}

/// Checks the service, of which `provider` is the version known to the server. What is wrong with
/// the server may have been told already.
pub(crate) fn check<'a>(
    common: &Common,
    found: &'a Found,
    provider: Option<&str>,
    server_told: bool,
    section: &mut Section<'_>,
) -> Option<&'a Seen> {
    let seen = examined(common, found, section)?;
    let service = &seen.service;
    identity(common, service, provider, section);
    let faults = if server_told {
        status_text::own_faults(service)
    } else {
        status_text::faults(service)
    };
    for fault in faults {
        section.fault_with_remedy(fault, LOOK_IN_LOG);
    }
    missing::report(&seen.summary, section);
    if let Some((refused, remedy)) = knock_text::refused(service) {
        section.warning(refused, remedy);
    }
    seen.lookups.report(section);
    lost_lines(service, section);
    refused(service, section);
    stale_records(common, &seen.changes, section);
    helper("connect-pinger", &service.pinger, service.uptime, section);
    helper(
        "connect-ifscripts",
        &service.scripts.helper,
        service.uptime,
        section,
    );
    holder::check(common, service, section);
    Some(seen)
}

/// Which service it is: its version, and the server that it serves.
fn identity(
    common: &Common,
    service: &ServiceStatus,
    provider: Option<&str>,
    section: &mut Section<'_>,
) {
    let version = &service.version;
    section.ok(format!(
        "connect {version} runs as process {}, for {}",
        service.pid,
        text::span(service.uptime)
    ));
    if version != OURS {
        section.warning(
            format!("the service is version {version}, this program {OURS}"),
            "install the same version of both, and restart the service",
        );
    }
    match provider {
        Some(provider) if service.server == ServerLink::Up && provider != version => section.fault(
            format!(
                "at the server, version {provider} provides the service, which is another \
                     program"
            ),
            "stop the other program, or name the right sockets",
        ),
        _ => {}
    }
    let socket = common.admin_socket();
    if !is_for_server(service, common) {
        section.warning(
            format!(
                "the service uses the server on {}, not on {}",
                service.socket,
                socket.display()
            ),
            "name the directories and sockets of the service with -d, -a or --runtime-dir",
        );
    }
}

/// The lines of logs that were lost.
fn lost_lines(service: &ServiceStatus, section: &mut Section<'_>) {
    let programs = ["core", "the pinger", "the script helper"];
    let lost = status_text::log_lines_lost(service);
    for (program, (_, lines)) in programs.into_iter().zip(lost) {
        if lines > 0 {
            section.warning(
                format!(
                    "{program} has lost {} since it started",
                    text::count(lines, "log line")
                ),
                "check that the program that reads the log does read it, and that there is space \
                 for the log",
            );
        }
    }
}

/// The observers that found no place.
fn refused(service: &ServiceStatus, section: &mut Section<'_>) {
    let connections = service.observers.refused;
    if connections > 0 {
        section.warning(
            format!(
                "{} for observers found no place since core started",
                text::count(connections, "connection")
            ),
            "its log says whose they were; name users who must always find a place with \
             --observer-user",
        );
    }
}

/// The service of another host, of which nothing can be seen here but what it says itself.
pub(crate) fn check_elsewhere(
    common: &Common,
    found: &Found,
    program: &str,
    section: &mut Section<'_>,
) {
    section.warning(
        format!(
            "{program} forwards the socket, so the service runs on another host: its files, \
             units, scripts and server cannot be seen here"
        ),
        "run this there: `connect-cli -H HOST doctor'",
    );
    let Found::Ours(seen) = found else { return };
    let version = &seen.service.version;
    let uptime = text::span(seen.service.uptime);
    section.ok(format!("connect {version} runs there, for {uptime}"));
    for fault in status_text::faults(&seen.service) {
        section.fault_with_remedy(fault, LOOK_IN_LOG);
    }
    missing::report(&seen.summary, section);
    seen.lookups.report(section);
    lost_lines(&seen.service, section);
    stale_records(common, &seen.changes, section);
}

async fn fetch(common: &Common) -> Result<Seen, ControlError> {
    let mut control = common.observe_any().await?;
    let relay = control.relay();
    let (mut reader, service) = StateReader::begin(&mut control).await?;
    let (mut summary, mut runs, mut differs) = (Summary::default(), LastRuns::default(), false);
    let mut lookups = FailedLookups::default();
    while let Some(peers) = reader.next().await? {
        for peer in peers {
            summary.add(&peer);
            lookups.notice(&peer);
            differs |= peer.connection.record.is_some();
            runs.notice(peer);
        }
    }
    runs.ask(&mut control).await?;
    let changes = if differs {
        requests::changes(&mut control).await?
    } else {
        Changes::default()
    };
    Ok(Seen {
        service,
        served: control.served().clone(),
        relay,
        runs,
        summary,
        lookups,
        changes,
    })
}

/// Names the peers that differ from the database.
fn stale_records(common: &Common, changes: &Changes, section: &mut Section<'_>) {
    let program = common.program();
    for change in changes.list.iter().take(CHANGES_NAMED) {
        section.warning(
            format!("peer {}: {}", change.peer, change_text::standing(change)),
            &change_text::command(&program, change),
        );
    }
    let total = usize::try_from(changes.counts.total()).unwrap_or(usize::MAX);
    let rest = total.saturating_sub(CHANGES_NAMED.min(changes.list.len()));
    if rest > 0 {
        let peers = text::count(rest as u64, "more peer");
        let verb = if rest == 1 { "differs" } else { "differ" };
        section.warning(
            format!("{peers} {verb} from the database"),
            "`connect-cli reload' lists them, with the command for each",
        );
    }
}

/// Whether the service's server is the one that was asked for.
fn is_for_server(service: &ServiceStatus, common: &Common) -> bool {
    let socket = common.admin_socket();
    service.socket == socket.display().to_string()
        || leads_to_same(Path::new(&service.socket), &socket)
}

/// A helper that is in order; what is wrong with one is among the service's faults.
fn helper(program: &str, helper: &HelperStatus, uptime: u64, section: &mut Section<'_>) {
    let restarts = helper.restarts;
    let times = text::count(restarts, "time");
    let log = format!("`journalctl -u tripe-{program}', or without systemd the log of `connect'");
    if !helper.connected {
        if restarts > 0 {
            section.warning(
                format!("{program} was started again {times}, but is not connected"),
                &format!("{log}, says why it ends, or why it cannot be started"),
            );
        }
        return;
    }
    if restarts == 0 {
        // That it does not answer is among the service's faults.
        if helper.silent.is_none() {
            section.ok(format!("{program} is connected"));
        }
        return;
    }
    let uptime_text = text::span(uptime);
    let mut text =
        format!("{program} is connected, and was started again {times} in {uptime_text}");
    if let Some(seconds) = helper.restarted {
        text += &format!(", the last time {} ago", text::span(seconds));
    }
    let is_recent = match helper.restarted {
        Some(seconds) => seconds < USUAL_RESTART,
        None => restarts * USUAL_RESTART > uptime,
    };
    if is_recent {
        section.warning(text, &format!("{log}, says why it has ended"));
    } else {
        section.ok(text);
    }
}
