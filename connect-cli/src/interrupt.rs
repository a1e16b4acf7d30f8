// SPDX-License-Identifier: GPL-3.0-or-later
//! How commands that run until they are interrupted end: SIGINT and SIGTERM mean success, and so
//! does a reader of the output that leaves.

use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;

use connect_runtime::descriptor;
use connect_runtime::exit::Exit;
use connect_runtime::signals::EndSignals;
use tokio::io::Interest;

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
        _ = signals.next() => Ok(Exit::Success),
    }
}

/// As [`until_interrupted`], for work whose only purpose is its output: it ends too once nobody can
/// read that. Without this, `| head` would only be noticed at the next line, which may never come.
pub(crate) async fn until_unread(
    work: impl Future<Output = Result<Exit, Error>>,
) -> Result<Exit, Error> {
    until_interrupted(async {
        tokio::select! {
            ended = work => ended,
            () = reader_gone() => Ok(Exit::Success),
        }
    })
    .await
}

/// Waits until the other end of standard output is closed, if it is a pipe or a socket.
async fn reader_gone() {
    let closed = async {
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        // Its end is reported together with room to write, and with nothing else. Only that is
        // asked for, so it does not matter that the descriptor may block.
        let output = descriptor::watch(output, Interest::WRITABLE)?;
        loop {
            let mut ready = output.writable().await?;
            if ready.ready().is_write_closed() {
                return io::Result::Ok(());
            }
            ready.clear_ready();
        }
    };
    // A file has no reader, and cannot be watched.
    if closed.await.is_err() {
        pending::<()>().await;
    }
}
