// SPDX-License-Identifier: GPL-3.0-or-later
//! Running the work of a daemon.

use anyhow::Context as _;

use crate::exit::{Exit, Fatal};
use crate::threads;

/// Runs the work on one thread, which was measured to cost half of several.
///
/// The work is a task of the runtime and not the future that the runtime is started with: that one
/// is woken through a file descriptor even from its own thread, which costs two system calls each
/// time.
///
/// # Errors
/// Those of the work, and [`Exit::System`] if the system refuses what an event loop needs.
pub fn run(
    work: impl Future<Output = Result<Exit, Fatal>> + Send + 'static,
) -> Result<Exit, Fatal> {
    let system = |error| Fatal::new(Exit::System, error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(threads::block_signals)
        .build()
        .context("cannot start the event loop")
        .map_err(system)?;
    runtime
        .block_on(async { tokio::spawn(work).await })
        .context("the event loop has ended too early")
        .map_err(system)?
}
