// SPDX-License-Identifier: GPL-3.0-or-later
//! The service and its helpers: do they run, and are they of the same version?

use connect_ipc::control::{HelperStatus, ServerLink, ServiceStatus};

use super::finding::Section;
use super::runs::LastRuns;
use crate::client::connection::ControlError;
use crate::client::requests;
use crate::common::Common;
use crate::output::status_text;
use crate::output::text;

/// This program's version.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// Checks the service, of which `provider` is the version known to the server. Gives its state, and
/// how the scripts of its peers ended.
pub(crate) async fn check(
    common: &Common,
    provider: Option<&str>,
    section: &mut Section<'_>,
) -> Option<(ServiceStatus, LastRuns)> {
    let (service, runs) = match fetch(common).await {
        Ok(service) => service,
        Err(error) => {
            section.fault_with_remedy(error.to_string());
            return None;
        }
    };
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
            format!("the server knows version {provider} as the service, which is another one"),
            "stop the other program, or name the right sockets",
        ),
        _ => {}
    }
    let socket = common.admin_socket();
    if service.socket != socket.display().to_string() && !is_same(&service.socket, &socket) {
        section.warning(
            format!(
                "the service uses the server on {}, not on {}",
                service.socket,
                socket.display()
            ),
            "name the service's own places with -d, -a or --runtime-dir",
        );
    }
    for fault in status_text::faults(&service) {
        section.fault_with_remedy(fault);
    }
    helper("connect-pinger", &service.pinger, section);
    helper("connect-ifscripts", &service.scripts, section);
    Some((service, runs))
}

async fn fetch(common: &Common) -> Result<(ServiceStatus, LastRuns), ControlError> {
    let mut control = common.observe().await?;
    let (service, peers) = requests::status(&mut control).await?;
    let runs = LastRuns::ask(&mut control, &peers).await?;
    Ok((service, runs))
}

/// Whether two paths lead to the same file.
fn is_same(one: &str, other: &std::path::Path) -> bool {
    match (std::fs::canonicalize(one), std::fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// A helper that is in order; what is wrong with one is among the service's faults.
fn helper(program: &str, helper: &HelperStatus, section: &mut Section<'_>) {
    if !helper.connected {
        return;
    }
    // The first connection is no restart.
    let restarts = helper.connections.saturating_sub(1);
    if restarts > 0 {
        let times = text::count(restarts, "time");
        section.warning(
            format!("{program} is connected, but has been started again {times}"),
            "look in the log for the reason, unless you did it yourself",
        );
    } else {
        section.ok(format!("{program} is connected"));
    }
}
