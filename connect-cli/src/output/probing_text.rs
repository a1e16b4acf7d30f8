// SPDX-License-Identifier: GPL-3.0-or-later
//! Words for what is overdue: checks, answers of the server, and helpers that do not answer.

use connect_ipc::control::{HelperStatus, ServerLink, ServiceStatus};
use connect_ipc::probing::OverdueCause;

use super::text;

/// The helper in the headline, if it is silent.
pub(crate) fn silent(name: &str, helper: &HelperStatus) -> Option<String> {
    let seconds = helper.silent.filter(|_| helper.connected)?;
    Some(format!("{name} silent for {}", text::span(seconds)))
}

/// The link to the server in the headline, if the server is silent.
pub(crate) fn mute_server(service: &ServiceStatus) -> Option<String> {
    let seconds = service.probing.server_silent?;
    (service.server != ServerLink::Down).then(|| format!("silent for {}", text::span(seconds)))
}

/// What is overdue, in the headline, unless that is said of a helper or of the server there.
pub(crate) fn headline(service: &ServiceStatus) -> Option<String> {
    let seconds = service.probing.overdue?;
    Some(format!("checks overdue for {}", text::span(seconds)))
}

/// Each thing that is overdue, in a sentence with its remedy.
pub(crate) fn faults(service: &ServiceStatus) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(seconds) = service.probing.server_silent {
        faults.push(format!(
            "the tripe server on {} has not answered for {}, so the state of its peers is unknown; \
             look whether its process hangs or is stopped",
            service.socket,
            text::span(seconds)
        ));
    }
    for (program, work, helper) in [
        ("connect-pinger", "no peer is pinged", &service.pinger),
        (
            "connect-ifscripts",
            "no script is started",
            &service.scripts,
        ),
    ] {
        if let Some(seconds) = helper.silent {
            faults.push(format!(
                "{program} has not answered for {}, so {work}; after 30 s connect or systemd \
                 restarts it, else do it yourself",
                text::span(seconds)
            ));
        }
    }
    if let (Some(seconds), Some(cause)) = (service.probing.overdue, service.probing.cause) {
        let since = text::span(seconds);
        match cause {
            OverdueCause::HeldUp => faults.push(format!(
                "checks are overdue for {since}, because core stood still; it is catching up"
            )),
            OverdueCause::PingerMissing | OverdueCause::ServerDown => faults.push(format!(
                "checks are overdue for {since}, so the state of peers is unknown"
            )),
            // Said above.
            OverdueCause::PingerSilent | OverdueCause::ServerMute => {}
        }
    }
    faults
}

/// Why something is overdue.
pub(crate) const fn cause(cause: OverdueCause) -> &'static str {
    match cause {
        OverdueCause::PingerSilent => "the pinger does not answer",
        OverdueCause::PingerMissing => "there is no pinger",
        OverdueCause::ServerMute => "the server does not answer",
        OverdueCause::ServerDown => "the server is not connected",
        OverdueCause::HeldUp => "core stood still",
    }
}
