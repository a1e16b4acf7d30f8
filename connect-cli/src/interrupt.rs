// SPDX-License-Identifier: GPL-3.0-or-later
//! How commands that run until they are interrupted end: SIGINT and SIGTERM mean success.

use connect_runtime::exit::Exit;
use connect_runtime::signals::EndSignals;

use crate::error::Error;

/// Does the work until it ends or is interrupted; an interruption counts as success.
///
/// The signals are caught before the work begins. So a user who has seen the first line of output
/// can interrupt at once and gets the same exit code.
pub(crate) async fn until_interrupted(
    work: impl Future<Output = Result<Exit, Error>>,
) -> Result<Exit, Error> {
    let mut signals = EndSignals::catch().map_err(Error::Runtime)?;
    tokio::select! {
        ended = work => ended,
        () = signals.next() => Ok(Exit::Success),
    }
}
