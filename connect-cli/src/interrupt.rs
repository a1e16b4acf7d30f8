// SPDX-License-Identifier: GPL-3.0-or-later
//! The quiet end of commands that would go on for ever: SIGINT or SIGTERM.

use connect_runtime::exit::Exit;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

/// Does the work until it ends, or until somebody interrupts, who has seen enough: that is success.
///
/// The signals are taken before the work begins, so that whoever has seen its first output may
/// interrupt at once and finds a quiet end then too.
pub(crate) async fn until_interrupted(
    work: impl Future<Output = Result<Exit, Error>>,
) -> Result<Exit, Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    tokio::select! {
        ended = work => ended,
        _ = interrupt.recv() => Ok(Exit::Success),
        _ = terminate.recv() => Ok(Exit::Success),
    }
}
