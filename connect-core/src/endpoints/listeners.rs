// SPDX-License-Identifier: GPL-3.0-or-later
//! Helpers connect here.
//!
//! ```text
//!   helper <--> [connection task] --Arrival--> core's loop
//!   helper <------------------ Sender -------- core's loop
//! ```
//!
//! One task accepts connections; one task for each connection reads it. The loop has the sending
//! half and never waits for a reader. `clients` does the same for operators and observers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use connect_ipc::control::HelperStatus;
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::ToPinger;
use connect_ipc::scripts::ToScripts;
use connect_runtime::fault_log::FaultLog;
use connect_runtime::socket::Socket;
use connect_runtime::transport::{
    self, Client, HELLO_LIMIT, HELPER_BACKLOG, Limits, ReceiveError, Receiver, SendError, Sender,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::endpoints::access::Access;
use crate::endpoints::arrivals::{Arrival, Listening};
use crate::endpoints::limits::COMPLAIN_EVERY;
use crate::machine::ConnectionId;

/// A client has ended its connection without a word.
#[derive(Debug, thiserror::Error)]
#[error("a client of the helpers' socket closed its connection before its hello")]
struct NoHello;

/// Decides which helpers may connect.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    access: Arc<Access>,
    faults: Arc<Mutex<FaultLog>>,
}

impl Guard {
    /// A guard who admits those whom core's options name.
    pub(super) fn new(access: Arc<Access>) -> Self {
        let faults = Arc::new(Mutex::new(FaultLog::repeating(COMPLAIN_EVERY)));
        Guard { access, faults }
    }

    /// Logs a fault, unless it was logged a short time ago.
    fn complain(&self, client: Client, fault: &str) {
        // Nothing that holds the lock can panic half-way.
        let mut log = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_new(fault) {
            tracing::warn!(%client, error = fault, "connection of a helper failed");
        }
    }
}

/// Accepts connections of helpers for ever.
pub(super) async fn accept_all(
    mut listening: Listening,
    guard: Guard,
    numbers: Arc<AtomicU64>,
    arrivals: mpsc::Sender<Arrival>,
) {
    loop {
        let (socket, client) = listening.accept().await;
        let connection = ConnectionId(numbers.fetch_add(1, Ordering::Relaxed));
        let (arrivals, guard) = (arrivals.clone(), guard.clone());
        tokio::spawn(async move {
            let served = tokio::select! {
                served = helper(socket, client, connection, &guard, &arrivals) => served,
                // Core is ending. A helper must learn that nobody reads its messages.
                () = arrivals.closed() => return,
            };
            match served {
                // As of a second service, which looks whether the socket is in use.
                Err(error) if error.is::<NoHello>() => tracing::debug!(%client, "{error}"),
                Err(error) => guard.complain(client, &format!("{error:#}")),
                Ok(()) => {}
            }
            // A closed channel means that core is ending.
            let _ = arrivals.send(Arrival::Gone(connection)).await;
        });
    }
}

/// Exchanges hellos; core's comes first, so that a stranger learns what it has to speak.
async fn greet(
    receiver: &mut Receiver,
    sender: &Sender,
    expected: &[Role],
) -> anyhow::Result<Hello> {
    match sender.send(&Hello::new(Role::Core)) {
        Err(SendError::Gone) => return Err(NoHello.into()),
        sent => sent?,
    }
    let received = timeout(HELLO_LIMIT, receiver.next()).await;
    let hello: Option<Hello> = match received.context("no hello within ten seconds")? {
        // If a client closes its connection and has not read core's hello, that breaks it.
        Err(ReceiveError::Io(_)) => None,
        received => received?,
    };
    let hello = hello.ok_or(NoHello)?;
    hello.check(expected)?;
    Ok(hello)
}

async fn helper(
    socket: Socket,
    client: Client,
    connection: ConnectionId,
    guard: &Guard,
    arrivals: &mpsc::Sender<Arrival>,
) -> anyhow::Result<()> {
    let limits = Limits::of_backlog(HELPER_BACKLOG);
    let (mut receiver, sender) = transport::split_within(socket, limits);
    let hello = match admit(&mut receiver, &sender, client, guard).await {
        Ok(hello) => hello,
        Err(error) => {
            // It may have disconnected already; then only the log says what was wrong.
            let _ = sender.send(&ToPinger::Error(format!("{error:#}")));
            return Err(error);
        }
    };
    let role = hello.role;
    let status = HelperStatus {
        connected: true,
        pid: client.pid,
        version: Some(hello.version),
        ..HelperStatus::default()
    };
    let arrival = Arrival::Helper {
        connection,
        role,
        sender: sender.clone(),
        status,
    };
    arrivals.send(arrival).await?;
    if role == Role::Pinger {
        let arrival = |message| Arrival::Pinger(connection, message);
        forward(&mut receiver, &sender, arrivals, arrival, ToPinger::Error).await
    } else {
        let arrival = |message| Arrival::Scripts(connection, message);
        forward(&mut receiver, &sender, arrivals, arrival, ToScripts::Error).await
    }
}

/// Exchanges hellos with a helper, if the user may be one.
async fn admit(
    receiver: &mut Receiver,
    sender: &Sender,
    client: Client,
    guard: &Guard,
) -> anyhow::Result<Hello> {
    let roles = guard.access.roles(client);
    if !roles.is_empty() {
        return greet(receiver, sender, &roles).await;
    }
    sender.send(&Hello::new(Role::Core))?;
    let uid = client
        .uid
        .map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    anyhow::bail!(
        "the user {uid} may not be this helper; --pinger-user and --ifscripts-user of core name \
         who may"
    )
}

/// Passes messages on until the connection ends; a malformed one is answered with an error.
async fn forward<M, A>(
    receiver: &mut Receiver,
    sender: &Sender,
    arrivals: &mpsc::Sender<Arrival>,
    arrival: impl Fn(M) -> Arrival,
    complaint: impl Fn(String) -> A,
) -> anyhow::Result<()>
where
    M: DeserializeOwned,
    A: Serialize,
{
    loop {
        match receiver.next().await {
            Ok(Some(message)) => arrivals.send(arrival(message)).await?,
            Ok(None) => return Ok(()),
            Err(ReceiveError::Frame(error)) => {
                tracing::warn!(%error, "a message is malformed");
                sender.send(&complaint(error.to_string()))?;
            }
            Err(ReceiveError::Io(error)) => return Err(error.into()),
        }
    }
}
