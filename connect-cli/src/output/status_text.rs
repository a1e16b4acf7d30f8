// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of the service and its peers as people read it: faults, one line, a table.

use std::io::{self, Write};

use connect_ipc::control::{
    DatabaseOrigin, FailedScript, HelperStatus, LongScript, PeerState, PeerStatus, ServerLink,
    ServiceStatus,
};
use connect_ipc::scripts::ScriptFailure;
use connect_ipc::statistics::LastPing;
use connect_ipc::write_fault::WriteFault;

use super::Output;
use super::knock_text;
use super::lookup_text::{self, Hindrance};
use super::overdue_text;
use super::paint::Paint;
use super::script_text;
use super::summary::{Summary, is_missing, stale_record};
use super::table::{Cell, Column, Narrowed, Table};
use super::text;

/// Shows the service and a table of peers. `summary` is of all peers, also those that are not in
/// the table.
pub(crate) fn show(
    service: &ServiceStatus,
    summary: &Summary,
    peers: &[PeerStatus],
    wide: bool,
    out: &mut Output<impl Write>,
) -> io::Result<()> {
    show_service(service, summary, out)?;
    out.line("")?;
    if peers.is_empty() {
        return out.line(match service.database.origin {
            DatabaseOrigin::None => "The server has no peers, and no database is in use.",
            _ => "The server has no peers, and the database expects none.",
        });
    }
    out.table(&table(peers), wide)
}

/// Shows the service alone.
pub(crate) fn show_service(
    service: &ServiceStatus,
    summary: &Summary,
    out: &mut Output<impl Write>,
) -> io::Result<()> {
    out.sentence(Paint::Heading, &text::clean(&headline(service, summary)), 2)?;
    for fault in faults(service).into_iter().chain(summary.missing()) {
        out.sentence(Paint::Bad, &format!("! {}", text::clean(&fault)), 2)?;
    }
    if let Some(stale) = summary.stale_records() {
        out.painted(Paint::Doubtful, &format!("! {stale}"))?;
    }
    if let Some((refused, remedy)) = knock_text::refused(service) {
        let line = format!("! {}; {remedy}", text::clean(&refused));
        out.sentence(Paint::Doubtful, &line, 2)?;
    }
    Ok(())
}

/// Shows what does not fit into the table, of peers that somebody has asked for by name.
pub(crate) fn show_more(peers: &[PeerStatus], out: &mut Output<impl Write>) -> io::Result<()> {
    let mut is_first = true;
    for peer in peers {
        let Some(lookup) = &peer.connection.lookup else {
            continue;
        };
        if is_first {
            out.line("")?;
            is_first = false;
        }
        let (words, paint) = lookup_text::sentence(lookup, peer.state);
        let line = format!("{}: lookup of {words}", peer.name);
        out.sentence(paint, &text::clean(&line), 2)?;
    }
    Ok(())
}

/// The words for the link to the server.
pub(crate) fn link(server: ServerLink) -> &'static str {
    match server {
        ServerLink::Down => "down",
        ServerLink::Joining => "joining",
        ServerLink::Up => "up",
    }
}

fn helper(name: &str, helper: &HelperStatus, service: &str) -> String {
    if let Some(silent) = overdue_text::silent(name, helper) {
        return silent;
    }
    match &helper.version {
        _ if !helper.connected => format!("{name} missing"),
        Some(version) if version != service => format!("{name} {version}"),
        _ => format!("{name} ok"),
    }
}

/// What is wrong with the service, each in a sentence with its remedy.
pub(crate) fn faults(service: &ServiceStatus) -> Vec<String> {
    let mut faults = server_faults(service);
    faults.extend(own_faults(service));
    faults
}

/// What is wrong with the server, and what follows from that.
fn server_faults(service: &ServiceStatus) -> Vec<String> {
    let link = match service.server {
        ServerLink::Down => Some(format!(
            "cannot reach the tripe server on {}; start it, and the service connects to it",
            service.socket
        )),
        // A silent one is told below.
        ServerLink::Joining if service.checks.server_silent.is_none() => Some(format!(
            "the service is connected to the tripe server on {} but has not been able to claim its \
             name yet; its log says why",
            service.socket
        )),
        ServerLink::Joining | ServerLink::Up => None,
    };
    let overdue = overdue_text::server_faults(service);
    link.into_iter().chain(overdue).collect()
}

/// What is wrong with the service apart from its server.
pub(crate) fn own_faults(service: &ServiceStatus) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(fault) = &service.database.fault {
        let which = match service.database.origin {
            DatabaseOrigin::Kept => {
                "the database that the service used before its restart is in use"
            }
            DatabaseOrigin::File => "the database that was loaded before is in use",
            DatabaseOrigin::None => "no database is in use, so no peer is watched or reconnected",
        };
        faults.push(format!("{which}: {fault}"));
    }
    for (program, work, helper) in [
        ("connect-pinger", "no peer is pinged", &service.pinger),
        (
            "connect-ifscripts",
            "no script is run",
            &service.scripts.helper,
        ),
    ] {
        if !helper.connected {
            faults.push(format!(
                "{program} is not connected, so {work}; start it if connect or systemd does not"
            ));
        } else if let Some(version) = &helper.version
            && *version != service.version
        {
            faults.push(format!(
                "{program} is version {version} and the service {}; install the same version of \
                 both and restart the older",
                service.version
            ));
        }
    }
    faults.extend(overdue_text::faults(service));
    faults.extend(state_file(service));
    faults.extend(script_text::faults(service));
    faults
}

/// What is wrong with the state file, if something is.
fn state_file(service: &ServiceStatus) -> Option<String> {
    let WriteFault { fault, seconds } = service.state_fault.as_ref()?;
    Some(format!(
        "the state has not been saved for {}, so a restart may lose what has changed: {fault}",
        text::span(*seconds)
    ))
}

/// How many lines of the logs of core and its helpers were lost, for each program.
pub(crate) fn log_lines_lost(service: &ServiceStatus) -> [(&'static str, u64); 3] {
    [
        ("core", service.counters.log_lines_lost),
        ("pinger", service.pinger.log_lines_lost),
        ("scripts", service.scripts.helper.log_lines_lost),
    ]
}

/// The service in one line.
pub(crate) fn headline(service: &ServiceStatus, summary: &Summary) -> String {
    let database = match (&service.database.fault, service.database.origin) {
        (Some(_), DatabaseOrigin::None) => "no database".to_owned(),
        (Some(_), _) => "database faulty".to_owned(),
        (None, _) => format!("database {}", text::count(service.database.peers, "peer")),
    };
    let runner = &service.scripts.helper;
    let scripts = summary
        .script_troubles()
        .filter(|_| runner.connected && runner.silent.is_none());
    let scripts = scripts.unwrap_or_else(|| helper("scripts", runner, &service.version));
    let server = overdue_text::silent_server(service);
    let server = server.unwrap_or_else(|| link(service.server).to_owned());
    let mut line = format!(
        "connect {}, up {}; server {server}; {database}; {}; {scripts}",
        service.version,
        text::span(service.uptime),
        helper("pinger", &service.pinger, &service.version),
    );
    let overdue = overdue_text::headline(service);
    let unsaved = service.state_fault.as_ref().map(|state| {
        let since = text::span(state.seconds);
        format!("state not saved for {since}")
    });
    let lost: u64 = log_lines_lost(service).iter().map(|(_, lines)| lines).sum();
    let lost = (lost > 0).then(|| format!("{} lost", text::count(lost, "log line")));
    let scripts = script_text::headline(service);
    for more in overdue
        .into_iter()
        .chain(unsaved)
        .chain(scripts)
        .chain(lost)
    {
        line = format!("{line}; {more}");
    }
    line
}

/// What a state means. The manual page and docs/reference/sockets.md say it in the same words.
pub(crate) const fn meaning(state: PeerState) -> &'static str {
    match state {
        PeerState::Up => "it is pinged, and its last check succeeded",
        PeerState::Checking => "it is pinged, and no check has ended yet",
        PeerState::Unknown => {
            "it is pinged, but the service is not connected to the server, or its check or the \
             result of its ping is overdue"
        }
        PeerState::Down => {
            "it is pinged, and its last check failed: it is being reconnected or removed"
        }
        PeerState::Adding => "it is being added",
        PeerState::Gone => {
            "it is not at the server, though it should be: it did not answer, the server ended, the \
             other host ended the connection (with auto), it could not be added again, or it was \
             removed while the service did not run or was not connected"
        }
        PeerState::Killed => {
            "it was removed by a command, by the other host, or because the server ended"
        }
        PeerState::Waiting => {
            "it is passive, or has a user and no auto, and has not connected since the service \
             started"
        }
        PeerState::Absent => {
            "it is watched or to be added at start-up, and was not added since the service started"
        }
        PeerState::Unwatched => "it is at the server, but the service does not ping it",
    }
}

/// One word for how the peer is.
pub(crate) fn state(peer: &PeerStatus) -> (&'static str, Paint) {
    let paint = match peer.state {
        PeerState::Down | PeerState::Gone | PeerState::Unknown => Paint::Bad,
        PeerState::Absent | PeerState::Adding | PeerState::Checking if is_missing(peer) => {
            Paint::Bad
        }
        PeerState::Up | PeerState::Checking if peer.failures > 0 => Paint::Doubtful,
        PeerState::Up => Paint::Good,
        PeerState::Checking
        | PeerState::Adding
        | PeerState::Killed
        | PeerState::Waiting
        | PeerState::Absent
        | PeerState::Unwatched => Paint::Plain,
    };
    (peer.state.as_str(), paint)
}

/// A script that takes unusually long, and for how long it does, or that cannot be ended.
fn long_script(script: &LongScript) -> String {
    if let Some(seconds) = script.survives {
        let since = text::span(seconds);
        return format!("{} survives KILL for {since}", script.kind.name());
    }
    let doing = script.pid.map_or("waiting", |_| "running");
    let time = text::span(script.seconds);
    format!("{} {doing} for {time}", script.kind.name())
}

/// How the peer is, whether its record is another one now, why it is not followed to another
/// address, which of its scripts did not end well when they were last run, and which take unusually
/// long.
pub(crate) fn state_and_scripts(peer: &PeerStatus) -> (String, Paint) {
    let (state, paint) = state(peer);
    let words: Vec<String> = [state.to_owned()].into_iter().chain(marks(peer)).collect();
    (words.join(", "), with_marks(peer, paint))
}

/// How a state is painted that has the marks of this peer after it.
pub(crate) fn with_marks(peer: &PeerStatus, paint: Paint) -> Paint {
    let scripts = &peer.scripts;
    if !scripts.failed.is_empty() || !scripts.long.is_empty() {
        Paint::Bad
    } else if stale_record(peer).is_some() && paint != Paint::Bad {
        Paint::Doubtful
    } else {
        paint
    }
}

/// What follows the state of a peer: see [`state_and_scripts`].
pub(crate) fn marks(peer: &PeerStatus) -> Vec<String> {
    let record = stale_record(peer).map(str::to_owned);
    let retry = peer.connection.next_add_ms;
    let retry = retry.map(|pause| format!("retry in {}", text::span(pause.div_ceil(1_000))));
    let lookup = Hindrance::of(peer).map(|it| it.words().to_owned());
    let failed = peer.scripts.failed.iter().map(failed_script);
    let long = peer.scripts.long.iter().map(long_script);
    let words = record.into_iter().chain(retry).chain(lookup);
    words.chain(failed).chain(long).collect()
}

/// A script that did not end well, and how it ended.
fn failed_script(script: &FailedScript) -> String {
    let kind = script.kind.name();
    match script.failure {
        ScriptFailure::Exited(status) => format!("{kind} failed ({status})"),
        ScriptFailure::Signal(signal) => format!("{kind} killed (S{signal})"),
        ScriptFailure::Unknown(status) => format!("{kind} failed ({status:#x})"),
        ScriptFailure::NotStarted => format!("{kind} not started"),
        ScriptFailure::TimedOut => format!("{kind} timed out"),
        ScriptFailure::Lost => format!("{kind} lost"),
    }
}

/// How the most recent ping ended.
pub(crate) fn last(ping: LastPing) -> String {
    match ping {
        LastPing::None => text::NOTHING.to_owned(),
        LastPing::Reply(time) => text::millis(Some(time)),
        LastPing::Timeout => "timeout".to_owned(),
    }
}

/// The columns of a table of peers.
pub(crate) const fn peer_columns() -> [Column; 8] {
    [
        Column::new("PEER", false, Some(12)),
        Column::new("STATE", false, Some(16)).narrowed(Narrowed::Continued),
        Column::new("ADDRESS", false, Some(12)).narrowed(Narrowed::CutBeforePort),
        Column::new("LAST", true, None),
        Column::new("MEAN", true, None),
        Column::new("LOSS", true, None),
        Column::new("FAIL", true, None),
        Column::new("NEXT", true, None),
    ]
}

fn table(peers: &[PeerStatus]) -> Table<impl Iterator<Item = Vec<Cell>> + Clone> {
    Table::new(peer_columns(), peers.iter().map(row))
}

fn row(peer: &PeerStatus) -> Vec<Cell> {
    let (state, paint) = state_and_scripts(peer);
    let failures = peer.state.is_adopted().then(|| peer.failures.to_string());
    vec![
        Cell::from(text::clean(&peer.name).into_owned()),
        Cell::painted(paint, state),
        text::or_nothing(peer.address.as_deref().map(text::address)).into(),
        last(peer.statistics.last).into(),
        text::millis(peer.statistics.mean()).into(),
        text::percent(peer.statistics.loss()).into(),
        text::or_nothing(failures).into(),
        text::or_nothing(peer.next_ping_ms.map(text::wait)).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_explained_in_the_same_words_everywhere() {
        let joined = |page: &str| page.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = joined(include_str!("../../../man/connect-cli.1"));
        let sockets = joined(include_str!("../../../docs/reference/sockets.md"));
        for state in PeerState::ALL {
            let (word, meaning) = (state.as_str(), meaning(state));
            let sentence = format!(".It Cm {word} I{}.", meaning.get(1..).unwrap());
            let row = format!("| `{word}` | {meaning} |");
            for (text, wanted) in [(&page, sentence), (&sockets, row)] {
                assert_eq!(text.matches(&wanted).count(), 1, "{wanted}");
            }
        }
    }
}
