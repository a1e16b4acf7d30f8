// SPDX-License-Identifier: GPL-3.0-or-later
//! Words for what is overdue: checks, answers of the server, and helpers that do not answer.

use connect_ipc::control::{HelperStatus, ServerLink, ServiceStatus};
use connect_ipc::overdue::OverdueCause;

use super::text;

/// The helper in the headline, if it is silent.
pub(crate) fn silent(name: &str, helper: &HelperStatus) -> Option<String> {
    let seconds = helper.silent.filter(|_| helper.connected)?;
    Some(format!("{name} silent for {}", text::span(seconds)))
}

/// The link to the server in the headline, if the server is silent.
pub(crate) fn silent_server(service: &ServiceStatus) -> Option<String> {
    let seconds = service.checks.server_silent?;
    (service.server != ServerLink::Down).then(|| format!("silent for {}", text::span(seconds)))
}

/// What is overdue, in the headline, unless that is said of a helper or of the server there.
pub(crate) fn headline(service: &ServiceStatus) -> Option<String> {
    let seconds = service.checks.overdue?;
    Some(format!("checks overdue for {}", text::span(seconds)))
}

/// A server that does not answer, and checks that are overdue because there is none, each in a
/// sentence with its remedy.
pub(crate) fn server_faults(service: &ServiceStatus) -> Option<String> {
    if let Some(seconds) = service.checks.server_silent {
        return Some(server_silent(&service.socket, seconds));
    }
    let seconds = service.checks.overdue?;
    (service.checks.cause == Some(OverdueCause::ServerDown)).then(|| without_checks(seconds))
}

/// A server that does not answer.
pub(crate) fn server_silent(socket: &str, seconds: u64) -> String {
    format!(
        "the tripe server on {socket} has not answered for {}, so the state of its peers is \
         unknown; check whether its process hangs or is stopped",
        text::span(seconds)
    )
}

fn without_checks(seconds: u64) -> String {
    let since = text::span(seconds);
    format!("checks are overdue for {since}, so the state of peers is unknown")
}

/// Each other thing that is overdue, in a sentence with its remedy.
pub(crate) fn faults(service: &ServiceStatus) -> Vec<String> {
    let mut faults = Vec::new();
    for (program, work, helper) in [
        ("connect-pinger", "no peer is pinged", &service.pinger),
        (
            "connect-ifscripts",
            "no script is started",
            &service.scripts.helper,
        ),
    ] {
        if let Some(seconds) = helper.silent {
            faults.push(format!(
                "{program} has not answered for {}, so {work}; after 30 s connect or systemd \
                 restarts it; if neither runs it, restart it yourself",
                text::span(seconds)
            ));
        }
    }
    if let (Some(seconds), Some(cause)) = (service.checks.overdue, service.checks.cause) {
        match cause {
            OverdueCause::HeldUp => faults.push(format!(
                "checks are overdue for {}, because core did not run for a time; it is making \
                 them now",
                text::span(seconds)
            )),
            OverdueCause::PingerMissing => faults.push(without_checks(seconds)),
            // Said of the helper, or of the server.
            OverdueCause::PingerSilent | OverdueCause::ServerSilent | OverdueCause::ServerDown => {}
        }
    }
    faults
}

/// Why something is overdue.
pub(crate) const fn cause(cause: OverdueCause) -> &'static str {
    match cause {
        OverdueCause::PingerSilent => "the pinger does not answer",
        OverdueCause::PingerMissing => "no pinger is connected",
        OverdueCause::ServerSilent => "the server does not answer",
        OverdueCause::ServerDown => "the server is not connected",
        OverdueCause::HeldUp => "core did not run for a time",
    }
}
