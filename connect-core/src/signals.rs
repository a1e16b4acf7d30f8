// SPDX-License-Identifier: GPL-3.0-or-later
//! What the system's signals ask of core.
//!
//! ```text
//!   SIGTERM, SIGINT, SIGHUP --> [a task] --Request--> core's loop
//! ```
//!
//! The task is asleep as a rule, whereas the loop would ask after each signal in each of its turns.

use std::future::pending;

use anyhow::Context as _;
use connect_runtime::signals::EndSignals;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What `SIGHUP` means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hangup {
    /// Read the database now, as services do that have no terminal.
    Reload,
    /// The terminal is gone: the process ends, as the system has it.
    End,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Request {
    /// Release the service and end.
    Leave,
    /// Read the database now.
    Reload,
}

/// Catches the signals from now on.
///
/// # Errors
/// If the system refuses.
pub(crate) fn listen(hangup: Hangup) -> anyhow::Result<mpsc::Receiver<Request>> {
    let mut end = EndSignals::catch().context("cannot catch SIGTERM and SIGINT")?;
    let mut hangup = match hangup {
        Hangup::Reload => Some(signal(SignalKind::hangup()).context("cannot catch SIGHUP")?),
        Hangup::End => None,
    };
    let (requests, queue) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let request = tokio::select! {
                () = end.next() => Request::Leave,
                () = next(&mut hangup) => Request::Reload,
            };
            if requests.send(request).await.is_err() {
                return;
            }
        }
    });
    Ok(queue)
}

/// The next signal; never, if it is not caught.
async fn next(caught: &mut Option<Signal>) {
    match caught {
        Some(caught) => {
            caught.recv().await;
        }
        None => pending().await,
    }
}
