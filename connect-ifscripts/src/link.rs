// SPDX-License-Identifier: GPL-3.0-or-later
//! The task that keeps the connection to core: connects, shakes hands, receives, and begins again.
//!
//! ```text
//!   core <--hello-- [keep] --Up(sender), Message, Garbled, Down--> service
//!        --hello-->
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_ipc::hello::{Hello, HelloError, Role};
use connect_ipc::scripts::ToScripts;
use connect_runtime::transport::{
    self, HELPER_BACKLOG, ReceiveError, Receiver, SendError, Sender, SocketError,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How long to wait before the second attempt to reach core: a core that is just being restarted is
/// there again about as fast.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The longest wait between two attempts, so that nobody notices it who starts core by hand.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long core may take for its hello. It sends it at once; one that does not is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the service is told.
#[derive(Debug)]
pub(crate) enum FromLink {
    /// Core was reached; this is the way to it.
    Up(Sender),
    /// Core has sent this.
    Message(ToScripts),
    /// Core has sent something that is no message.
    Garbled(String),
    /// The connection is lost.
    Down,
}

/// Why core was not reached.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("core closed the connection instead of saying hello")]
    Closed,
    #[error("core closed the connection after the hello; it may have another helper already")]
    Refused,
    #[error("core has not said hello within {} seconds", PATIENCE.as_secs())]
    Silent,
}

/// Keeps the connection for ever; ends only when the service does.
pub(crate) async fn keep(socket: PathBuf, service: mpsc::Sender<FromLink>) {
    let mut wait = FIRST_WAIT;
    // What the last attempt failed with, so that the log says it once and not every two seconds.
    let mut complaint = String::new();
    while !service.is_closed() {
        match reach(&socket).await {
            Ok((receiver, sender, version)) => {
                if service.send(FromLink::Up(sender)).await.is_err() {
                    return;
                }
                let accepted = receive(receiver, &version, &service).await;
                if service.send(FromLink::Down).await.is_err() {
                    return;
                }
                if accepted {
                    warn!("the connection to core is lost; scripts run on, trying again");
                    wait = FIRST_WAIT;
                    complaint.clear();
                } else {
                    complain(&mut complaint, &LinkError::Refused);
                }
            }
            Err(error) => complain(&mut complaint, &error),
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn complain(before: &mut String, error: &LinkError) {
    let text = error.to_string();
    if text != *before {
        warn!("cannot reach core, trying again: {text}");
        *before = text;
    }
}

/// Connects and shakes hands; also gives core's version.
async fn reach(socket: &Path) -> Result<(Receiver, Sender, String), LinkError> {
    let stream = transport::connect(socket).await?;
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    sender.send(&Hello::new(Role::Ifscripts))?;
    let hello: Hello = timeout(PATIENCE, receiver.next())
        .await
        .map_err(|_| LinkError::Silent)??
        .ok_or(LinkError::Closed)?;
    hello.check(&[Role::Core])?;
    Ok((receiver, sender, hello.version))
}

/// Passes on what core sends until the connection ends; says whether core has taken us for its
/// helper.
async fn receive(mut receiver: Receiver, version: &str, service: &mpsc::Sender<FromLink>) -> bool {
    let mut accepted = false;
    loop {
        let event = match receiver.next().await {
            Ok(Some(message)) => {
                if !accepted && !matches!(message, ToScripts::Error(_)) {
                    info!(version, "connected to core");
                    accepted = true;
                }
                FromLink::Message(message)
            }
            Err(ReceiveError::Frame(error)) => FromLink::Garbled(error.to_string()),
            Ok(None) => return accepted,
            Err(ReceiveError::Io(error)) => {
                warn!("cannot read from core: {error}");
                return accepted;
            }
        };
        if service.send(event).await.is_err() {
            return accepted;
        }
    }
}
