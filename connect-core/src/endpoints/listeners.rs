// SPDX-License-Identifier: GPL-3.0-or-later
//! Who comes in through our own sockets: helpers, operators and observers.
//!
//! ```text
//!   helper, operator <--> [connection task] --Arrival--> core's loop
//!   helper, operator <------------------ Sender -------- core's loop
//! ```
//!
//! One task accepts on each socket; one task a connection reads it. The loop has the sending half
//! and never waits for a reader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::RunId;
use connect_ipc::control::{Answer, Envelope, HelperStatus, Reply};
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_runtime::transport::{
    self, Client, HELLO_LIMIT, HELPER_BACKLOG, OPERATOR_BACKLOG, ReceiveError, Receiver, Sender,
};
use connect_runtime::trouble::TroubleLog;
use interprocess::local_socket::tokio::{Listener, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::endpoints::access::Access;
use crate::endpoints::door::Door;
use crate::machine::ConnectionId;

/// How long to wait when the system is out of something that `accept` needs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The most clients at a time on each socket for operators and observers. Each costs a task and
/// its buffers; hundreds of them mean that a script runs wild.
const MAX_OPERATORS: usize = 256;

/// How often the same trouble with helpers is logged: one of another version, or of the wrong user,
/// comes back every two seconds.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Something from one of the sockets.
#[derive(Debug)]
pub enum Arrival {
    /// A helper has said hello.
    Helper {
        /// The connection.
        connection: ConnectionId,
        /// What it is.
        role: Role,
        /// How to talk to it.
        sender: Sender,
        /// For operators.
        status: HelperStatus,
    },
    /// A message of the pinger.
    Pinger(ConnectionId, FromPinger),
    /// A message of the script helper.
    Scripts(ConnectionId, FromScripts),
    /// An operator has said hello.
    Operator {
        /// The connection.
        connection: ConnectionId,
        /// How to talk to it.
        sender: Sender,
        /// Who it is.
        client: Client,
    },
    /// A request of an operator.
    Request(ConnectionId, Envelope),
    /// An operator will ask for nothing more, but listens to the answers.
    AskedAll(ConnectionId),
    /// A connection has ended.
    Gone(ConnectionId),
    /// The file of a socket is lost.
    Lost,
    /// The child of a run has ended.
    ChildEnded(RunId),
}

/// Who keeps the helpers' door.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    access: Arc<Access>,
    trouble: Arc<Mutex<TroubleLog>>,
}

impl Guard {
    /// A guard who admits those whom core's options name.
    pub(super) fn new(access: Arc<Access>) -> Self {
        let trouble = Arc::new(Mutex::new(TroubleLog::repeating(COMPLAIN_EVERY)));
        Guard { access, trouble }
    }

    /// Logs a trouble, unless it has just been logged.
    fn complain(&self, client: Client, trouble: &str) {
        // Nothing that holds the lock can panic half-way.
        let mut log = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_new(trouble) {
            tracing::warn!(%client, error = trouble, "connection of a helper failed");
        }
    }
}

/// Accepts connections for ever. `numbers` are those of the connections of all doors.
pub(super) async fn accept_all(
    listener: Listener,
    door: Door,
    guard: Guard,
    numbers: Arc<AtomicU64>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let operators = Arc::new(Semaphore::new(MAX_OPERATORS));
    loop {
        let (stream, client) = match transport::accept(&listener).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; retrying");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = ConnectionId(numbers.fetch_add(1, Ordering::Relaxed));
        let arrivals = arrivals.clone();
        match door {
            Door::Helpers => {
                let guard = guard.clone();
                tokio::spawn(async move {
                    let served = tokio::select! {
                        served = helper(stream, client, connection, &guard, &arrivals) => served,
                        // Core is ending. A helper is to know that nobody reads what it says.
                        () = arrivals.closed() => return,
                    };
                    if let Err(error) = served {
                        guard.complain(client, &format!("{error:#}"));
                    }
                    // A closed channel means that core is ending.
                    let _ = arrivals.send(Arrival::Gone(connection)).await;
                });
            }
            Door::Operators | Door::Observers => {
                let Ok(permit) = Arc::clone(&operators).try_acquire_owned() else {
                    tracing::warn!(
                        %client,
                        "turning an operator away: {MAX_OPERATORS} are connected"
                    );
                    continue;
                };
                tokio::spawn(async move {
                    if let Err(error) = operator(stream, door, client, connection, &arrivals).await
                    {
                        tracing::info!(
                            %client,
                            error = format!("{error:#}"),
                            "an operator's connection has failed"
                        );
                    }
                    let _ = arrivals.send(Arrival::Gone(connection)).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Exchanges hellos; core's comes first, so that a stranger learns what it has to speak.
async fn greet(
    receiver: &mut Receiver,
    sender: &Sender,
    expected: &[Role],
) -> anyhow::Result<Hello> {
    sender.send(&Hello::new(Role::Core))?;
    let hello: Hello = timeout(HELLO_LIMIT, receiver.next())
        .await
        .context("no hello within ten seconds")??
        .context("it left without a hello")?;
    hello.check(expected)?;
    Ok(hello)
}

async fn helper(
    stream: Stream,
    client: Client,
    connection: ConnectionId,
    guard: &Guard,
    arrivals: &mpsc::Sender<Arrival>,
) -> anyhow::Result<()> {
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    let hello = match admit(&mut receiver, &sender, client, guard).await {
        Ok(hello) => hello,
        Err(error) => {
            // It may have gone already; then the log alone says what was wrong.
            let _ = sender.send(&ToPinger::Error(format!("{error:#}")));
            return Err(error);
        }
    };
    let role = hello.role;
    let status = HelperStatus {
        connected: true,
        connections: 0,
        pid: client.pid,
        version: Some(hello.version),
        silent: None,
        log_lines_lost: 0,
        restarts: 0,
    };
    let arrival = Arrival::Helper {
        connection,
        role,
        sender: sender.clone(),
        status,
    };
    arrivals.send(arrival).await?;
    if role == Role::Pinger {
        let arrival = |message| Ok(Arrival::Pinger(connection, message));
        forward(&mut receiver, &sender, arrivals, arrival, ToPinger::Error).await
    } else {
        let arrival = |message| Ok(Arrival::Scripts(connection, message));
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
    if guard.access.may_help(client) {
        return greet(receiver, sender, &[Role::Pinger, Role::Ifscripts]).await;
    }
    sender.send(&Hello::new(Role::Core))?;
    let uid = client
        .uid
        .map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    anyhow::bail!("the user {uid} may not be a helper; core's --helper-user says who")
}

async fn operator(
    stream: Stream,
    door: Door,
    client: Client,
    connection: ConnectionId,
    arrivals: &mpsc::Sender<Arrival>,
) -> anyhow::Result<()> {
    let (mut receiver, sender) = transport::split(stream, OPERATOR_BACKLOG)?;
    let complain = |text| Answer {
        id: 0,
        reply: Reply::Error(text),
    };
    if let Err(error) = greet(&mut receiver, &sender, &[Role::Operator]).await {
        let _ = sender.send(&complain(format!("{error:#}")));
        return Err(error);
    }
    let arrival = Arrival::Operator {
        connection,
        sender: sender.clone(),
        client,
    };
    arrivals.send(arrival).await?;
    let admit = |envelope: Envelope| {
        if door == Door::Observers && !envelope.request.is_read_only() {
            let text = "observers may only look: command through control.sock".to_owned();
            return Err(Answer {
                id: envelope.id,
                reply: Reply::Error(text),
            });
        }
        Ok(Arrival::Request(connection, envelope))
    };
    forward(&mut receiver, &sender, arrivals, admit, complain).await?;
    arrivals.send(Arrival::AskedAll(connection)).await?;
    // From here on core's loop alone keeps the connection open, until it has answered everything.
    drop(sender);
    receiver.hung_up().await;
    Ok(())
}

/// Hands messages on until the connection ends; what is malformed is answered with an error.
async fn forward<M, A>(
    receiver: &mut Receiver,
    sender: &Sender,
    arrivals: &mpsc::Sender<Arrival>,
    arrival: impl Fn(M) -> Result<Arrival, A>,
    complaint: impl Fn(String) -> A,
) -> anyhow::Result<()>
where
    M: DeserializeOwned,
    A: Serialize,
{
    loop {
        match receiver.next().await {
            Ok(Some(message)) => match arrival(message) {
                Ok(arrival) => arrivals.send(arrival).await?,
                Err(refusal) => sender.send(&refusal)?,
            },
            Ok(None) => return Ok(()),
            Err(ReceiveError::Frame(error)) => {
                tracing::warn!(%error, "a message is malformed");
                sender.send(&complaint(error.to_string()))?;
            }
            Err(ReceiveError::Io(error)) => return Err(error.into()),
        }
    }
}
