// SPDX-License-Identifier: GPL-3.0-or-later
//! What a core does before its loop turns: it takes what was handed over, goes where it belongs, and
//! reaches for the server.

use std::path::Path;

use anyhow::Context as _;
use connect_runtime::activation::HandedOver;
use connect_runtime::exit::{Exit, Fatal};
use tokio::time::Instant;

use crate::options::{CoreOptions, Places};
use crate::server::ServerLink;

/// Takes the sockets that a service manager has opened for us.
///
/// # Errors
/// If there are some that are of no use.
pub fn handed_over() -> Result<HandedOver, Fatal> {
    HandedOver::take().map_err(|error| Fatal::new(Exit::System, error))
}

/// Changes to the configuration directory.
///
/// # Errors
/// If there is no such directory.
pub fn enter(options: &CoreOptions) -> Result<Places, Fatal> {
    let places = options
        .places()
        .map_err(|error| Fatal::new(Exit::System, error))?;
    std::env::set_current_dir(&places.directory)
        .with_context(|| format!("cannot change to {}", places.directory.display()))
        .map_err(|error| Fatal::new(Exit::System, error))?;
    Ok(places)
}

/// The event loop's runtime: one thread, measured to cost half of several.
///
/// # Errors
/// If the system refuses.
pub fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(|error| Fatal::new(Exit::System, error))
}

/// Makes the way to the server; also says until when a server that is away is waited for.
///
/// # Errors
/// If it is away and not to be waited for.
pub async fn reach(
    options: &CoreOptions,
    places: &Places,
) -> Result<(ServerLink, Option<Instant>), Fatal> {
    let mut server = ServerLink::new(&places.socket);
    match (server.connect().await, options.server_wait) {
        (Ok(()), _) => Ok((server, None)),
        (Err(error), None) => Err(out_of_reach(&places.socket, Some(&error.to_string()))),
        (Err(_), Some(wait)) => Ok((server, Some(Instant::now() + wait.duration()))),
    }
}

/// That the server cannot be reached, for the operator.
#[must_use]
pub fn out_of_reach(socket: &Path, why: Option<&str>) -> Fatal {
    let error = anyhow::anyhow!(
        "cannot reach the tripe server at {}; is tripe running? Name its socket with -a or \
         TRIPESOCK: {}",
        socket.display(),
        why.unwrap_or("it has not answered in time")
    );
    Fatal::new(Exit::Unavailable, error)
}
