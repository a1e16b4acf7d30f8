// SPDX-License-Identifier: GPL-3.0-or-later
//! Our own sockets: helpers, operators and observers come in here.
//!
//! ```text
//!   helper, operator <--> [connection task] --Arrival--> core's loop
//!   helper, operator <------------------ Sender -------- core's loop
//! ```
//!
//! One task accepts on each socket; one task a connection reads it. The loop has the sending half
//! and never waits for a reader.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use connect_daemon::places::RuntimeDir;
use connect_ipc::control::{Answer, Envelope, HelperStatus, Reply};
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_ipc::transport::{
    self, Caller, HELPER_BACKLOG, OPERATOR_BACKLOG, ReceiveError, Receiver, Sender,
};
use interprocess::local_socket::tokio::{Listener, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::machine::ConnectionId;

/// How long a newcomer may take over its hello.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait when the system is out of something that `accept` needs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The most operators at a time. Each costs a task and its buffers; hundreds of them mean that a
/// script runs wild.
const MAX_OPERATORS: usize = 256;

/// How many arrivals wait for core's loop before connections are no longer read.
const ARRIVALS: usize = 1024;

/// Everybody may reach the sockets' names; each socket says itself who may connect.
const RUNTIME_MODE: u32 = 0o755;

/// Only the owner may be a helper.
const HELPERS_MODE: u32 = 0o600;

/// Who may use the sockets for people.
#[derive(Clone, Debug)]
pub struct Access {
    /// Permissions of the control socket.
    pub control_mode: u32,
    /// The control socket's group, by name or number; `None` for the process's own.
    pub control_group: Option<String>,
    /// Permissions of the observers' socket.
    pub observe_mode: u32,
}

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
        caller: Caller,
    },
    /// A request of an operator.
    Request(ConnectionId, Envelope),
    /// A connection has ended.
    Gone(ConnectionId),
}

/// Makes the runtime directory and both sockets and starts serving them. The sockets' files vanish
/// with the returned tasks.
///
/// # Errors
/// If the directory or a socket cannot be made.
pub async fn serve(
    runtime: &RuntimeDir,
    access: &Access,
) -> anyhow::Result<mpsc::Receiver<Arrival>> {
    make_directory(runtime.path())?;
    let helpers = transport::listen(&runtime.helpers_socket(), HELPERS_MODE).await?;
    let control = runtime.control_socket();
    let operators = transport::listen(&control, access.control_mode).await?;
    if let Some(group) = &access.control_group {
        give_to_group(&control, group)?;
    }
    let observers = transport::listen(&runtime.observe_socket(), access.observe_mode).await?;
    let (arrivals, queue) = mpsc::channel(ARRIVALS);
    for (listener, door) in [
        (helpers, Door::Helpers),
        (operators, Door::Operators),
        (observers, Door::Observers),
    ] {
        tokio::spawn(accept_all(listener, door, arrivals.clone()));
    }
    Ok(queue)
}

fn give_to_group(path: &Path, name: &str) -> anyhow::Result<()> {
    use nix::unistd::{Gid, Group};
    let group = match name.parse() {
        Ok(number) => Gid::from_raw(number),
        Err(_) => {
            Group::from_name(name)
                .with_context(|| format!("cannot look up the group {name}"))?
                .with_context(|| format!("there is no group {name}; see --control-group"))?
                .gid
        }
    };
    std::os::unix::fs::chown(path, None, Some(group.as_raw()))
        .with_context(|| format!("cannot give {} to the group {name}", path.display()))
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(RUNTIME_MODE).create(path) {
        // What the umask took away is given back: the sockets have permissions of their own.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(RUNTIME_MODE))
            .with_context(|| format!("cannot open {} to observers", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path).with_context(|| {
                format!("cannot look at the runtime directory {}", path.display())
            })?;
            anyhow::ensure!(
                metadata.is_dir(),
                "{} is no directory; choose another with --runtime-dir",
                path.display()
            );
            // In a directory that anybody may write to, anybody could stand in for core.
            let mode = metadata.permissions().mode();
            anyhow::ensure!(
                mode & 0o002 == 0 || mode & 0o1000 != 0,
                "the runtime directory {} is writable by everybody; chmod o-w it",
                path.display()
            );
            Ok(())
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot make the runtime directory {}; choose another with --runtime-dir",
                path.display()
            )
        }),
    }
}

/// Which socket a connection came through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Door {
    Helpers,
    Operators,
    Observers,
}

async fn accept_all(listener: Listener, door: Door, arrivals: mpsc::Sender<Arrival>) {
    let operators = std::sync::Arc::new(tokio::sync::Semaphore::new(MAX_OPERATORS));
    // Each door has numbers of its own, so that no two connections share one.
    let mut number = match door {
        Door::Helpers => 0,
        Door::Operators => 1,
        Door::Observers => 2,
    };
    loop {
        let (stream, caller) = match transport::accept(&listener).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}; trying on");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        number += 3;
        let connection = ConnectionId(number);
        let arrivals = arrivals.clone();
        match door {
            Door::Helpers => {
                tokio::spawn(async move {
                    if let Err(error) = helper(stream, caller, connection, &arrivals).await {
                        tracing::warn!(?caller, "helper connection: {error:#}");
                    }
                    // A closed channel means that core is ending.
                    let _ = arrivals.send(Arrival::Gone(connection)).await;
                });
            }
            Door::Operators | Door::Observers => {
                let Ok(permit) = std::sync::Arc::clone(&operators).try_acquire_owned() else {
                    tracing::warn!(
                        ?caller,
                        "turning an operator away: {MAX_OPERATORS} are connected"
                    );
                    continue;
                };
                tokio::spawn(async move {
                    if let Err(error) = operator(stream, door, caller, connection, &arrivals).await
                    {
                        tracing::info!(?caller, "operator connection: {error:#}");
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

/// Whether a process may be a helper: it runs as the same user as core, or as root. Others are
/// kept out by the socket's permissions, and here in case those were widened.
fn may_help(caller: Caller) -> bool {
    let own = rustix::process::geteuid().as_raw();
    caller.uid.is_some_and(|uid| uid == own || uid == 0)
}

async fn helper(
    stream: Stream,
    caller: Caller,
    connection: ConnectionId,
    arrivals: &mpsc::Sender<Arrival>,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        may_help(caller),
        "user {:?} may not be a helper",
        caller.uid
    );
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    let hello = match greet(&mut receiver, &sender, &[Role::Pinger, Role::Ifscripts]).await {
        Ok(hello) => hello,
        Err(error) => {
            // It may not be listening; then the log alone says what was wrong.
            let _ = sender.send(&ToPinger::Error(format!("{error:#}")));
            return Err(error);
        }
    };
    let role = hello.role;
    let status = HelperStatus {
        connected: true,
        connections: 0,
        pid: caller.pid,
        version: Some(hello.version),
    };
    tracing::info!(?role, pid = caller.pid, "a helper has connected");
    let arrival = Arrival::Helper {
        connection,
        role,
        sender: sender.clone(),
        status,
    };
    arrivals.send(arrival).await?;
    if role == Role::Pinger {
        let answer = ToPinger::Error;
        forward(
            receiver,
            &sender,
            arrivals,
            |m| Ok(Arrival::Pinger(connection, m)),
            answer,
        )
        .await
    } else {
        let answer = ToScripts::Error;
        forward(
            receiver,
            &sender,
            arrivals,
            |m| Ok(Arrival::Scripts(connection, m)),
            answer,
        )
        .await
    }
}

async fn operator(
    stream: Stream,
    door: Door,
    caller: Caller,
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
        caller,
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
    forward(receiver, &sender, arrivals, admit, complain).await
}

/// Hands messages on until the connection ends; what makes no sense is answered and passed over.
async fn forward<M, A>(
    mut receiver: Receiver,
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
                tracing::warn!("a message that makes no sense: {error}");
                sender.send(&complaint(error.to_string()))?;
            }
            Err(ReceiveError::Io(error)) => return Err(error.into()),
        }
    }
}
