// SPDX-License-Identifier: GPL-3.0-or-later
//! What the system's signals request from core.
//!
//! ```text
//!   SIGTERM, SIGINT, SIGHUP --> [a task] --> Signals --Request--> core's loop
//! ```
//!
//! The task usually sleeps, while the loop would have to look for each signal in each of its turns.

use std::future::pending;
use std::time::Duration;

use anyhow::Context as _;
use connect_runtime::signals::EndSignals;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Signals that ask to end count as one if they come within this time: timeout(1), for example,
/// sends two, to its child and to the child's process group. A person takes longer to press Ctrl-C
/// twice.
const AS_ONE: Duration = Duration::from_millis(50);

/// What `SIGHUP` means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hangup {
    /// Read the database now, as services do that have no terminal.
    Reload,
    /// The terminal was closed: the process ends, as is the system's default.
    End,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Request {
    /// Release the service and end.
    Leave,
    /// The same again: do not wait for scripts.
    Hurry,
    /// Read the database now.
    Reload,
}

/// The signals that are caught.
#[derive(Debug)]
pub(crate) struct Signals {
    queue: mpsc::Receiver<Request>,
    hurried: bool,
}

impl Signals {
    /// Waits for the next request. Cancel safe.
    pub(crate) async fn next(&mut self) -> Request {
        match self.queue.recv().await {
            Some(request) => {
                self.hurried |= request == Request::Hurry;
                request
            }
            None => pending().await,
        }
    }

    /// The service has ended, with or without a signal: waits for a signal to end at once; returns
    /// immediately if there was one before. Cancel safe.
    pub(crate) async fn hurry(&mut self) {
        while !self.hurried {
            self.hurried = matches!(self.next().await, Request::Leave | Request::Hurry);
        }
    }

    /// These requests, and none after them.
    #[cfg(test)]
    pub(crate) fn of(requests: &[Request]) -> Self {
        let (sender, queue) = mpsc::channel(requests.len().max(1));
        for request in requests {
            sender.try_send(*request).unwrap();
        }
        Signals {
            queue,
            hurried: false,
        }
    }
}

/// Catches the signals from now on.
///
/// # Errors
/// If the system refuses.
pub(crate) fn listen(hangup: Hangup) -> anyhow::Result<Signals> {
    let mut end = EndSignals::catch().context("cannot catch SIGTERM and SIGINT")?;
    let mut hangup = match hangup {
        Hangup::Reload => Some(signal(SignalKind::hangup()).context("cannot catch SIGHUP")?),
        Hangup::End => None,
    };
    let (requests, queue) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut asked: Option<Instant> = None;
        loop {
            let request = tokio::select! {
                _ = end.next() => match asked {
                    None => Request::Leave,
                    Some(at) if at.elapsed() < AS_ONE => continue,
                    Some(_) => Request::Hurry,
                },
                () = next(&mut hangup) => Request::Reload,
            };
            if request == Request::Leave {
                asked = Some(Instant::now());
            }
            if requests.send(request).await.is_err() {
                return;
            }
        }
    });
    Ok(Signals {
        queue,
        hurried: false,
    })
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
