// SPDX-License-Identifier: GPL-3.0-or-later
//! Our own sockets: helpers, operators and observers come in here.
//!
//! ```text
//!   helper, operator <--> [connection task] --Arrival--> core's loop
//!   helper, operator <------------------ Sender -------- core's loop
//! ```
//!
//! One task accepts on each socket; one task a connection reads it. The loop has the sending half
//! and never waits for a reader. A socket that a service manager has handed over is served as it
//! is, with the permissions that it was given there; the others are made here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::control::{Answer, Envelope, HelperStatus, Reply};
use connect_ipc::hello::{Hello, Role};
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use connect_runtime::activation::HandedOver;
use connect_runtime::paths::RuntimeDir;
use connect_runtime::transport::{
    self, Caller, HELLO_LIMIT, HELPER_BACKLOG, OPERATOR_BACKLOG, ReceiveError, Receiver, Sender,
};
use connect_runtime::trouble::TroubleLog;
use interprocess::local_socket::tokio::{Listener, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::endpoints::access::Access;
use crate::machine::ConnectionId;

/// How long to wait when the system is out of something that `accept` needs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The most clients at a time on each socket for operators and observers. Each costs a task and
/// its buffers; hundreds of them mean that a script runs wild.
const MAX_OPERATORS: usize = 256;

/// How many arrivals wait for core's loop before connections are no longer read.
const ARRIVALS: usize = 1024;

/// Everybody may reach the sockets' names; each socket says itself who may connect.
const RUNTIME_MODE: u32 = 0o755;

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
        caller: Caller,
    },
    /// A request of an operator.
    Request(ConnectionId, Envelope),
    /// An operator will ask for nothing more, but listens to the answers.
    AskedAll(ConnectionId),
    /// A connection has ended.
    Gone(ConnectionId),
}

/// Makes the runtime directory and those sockets that were not handed over, and starts serving all.
/// The files of sockets made here vanish with the returned tasks.
///
/// # Errors
/// If the directory or a socket cannot be made, or one was handed over that nobody knows.
pub async fn serve(
    runtime: &RuntimeDir,
    access: Access,
    mut handed_over: HandedOver,
) -> anyhow::Result<mpsc::Receiver<Arrival>> {
    let doors = [Door::Helpers, Door::Operators, Door::Observers];
    if let Some(strange) = handed_over.strange(&doors.map(Door::name)) {
        anyhow::bail!(
            "the service manager handed over a socket that is not known here, {strange}; \
             FileDescriptorName= is to be control, observe or helpers"
        );
    }
    let (arrivals, queue) = mpsc::channel(ARRIVALS);
    let access = Arc::new(access);
    for door in doors {
        let listener = match handed_over.named(door.name()) {
            Some(listener) => adopt(listener)
                .with_context(|| format!("cannot serve the {} socket handed over", door.name()))?,
            None => open(door, runtime, &access).await?,
        };
        let guard = Guard {
            access: Arc::clone(&access),
            trouble: Arc::new(Mutex::new(TroubleLog::repeating(COMPLAIN_EVERY))),
        };
        tokio::spawn(accept_all(listener, door, guard, arrivals.clone()));
    }
    Ok(queue)
}

/// Takes a socket that somebody else has opened, and will go on holding when we are gone.
fn adopt(listener: UnixListener) -> io::Result<Listener> {
    use interprocess::os::unix::uds_local_socket::tokio::Listener as Adopted;
    Adopted::try_from(std::os::fd::OwnedFd::from(listener)).map(Listener::from)
}

/// Makes a socket.
async fn open(door: Door, runtime: &RuntimeDir, access: &Access) -> anyhow::Result<Listener> {
    make_directory(runtime.path())?;
    let (path, mode) = match door {
        Door::Helpers => (runtime.helpers_socket(), access.helpers_mode),
        Door::Operators => (runtime.control_socket(), access.control_mode),
        Door::Observers => (runtime.observe_socket(), access.observe_mode),
    };
    let listener = transport::listen(&path, mode).await?;
    if let (Door::Operators, Some(group)) = (door, &access.control_group) {
        group.owns(&path)?;
    }
    Ok(listener)
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

impl Door {
    /// By which name a service manager hands its socket over.
    const fn name(self) -> &'static str {
        match self {
            Door::Helpers => "helpers",
            Door::Operators => "control",
            Door::Observers => "observe",
        }
    }
}

/// Who keeps the helpers' door.
#[derive(Clone, Debug)]
struct Guard {
    access: Arc<Access>,
    trouble: Arc<Mutex<TroubleLog>>,
}

impl Guard {
    /// Logs a trouble, unless it has just been logged.
    fn complain(&self, caller: Caller, trouble: &str) {
        // Nothing that holds the lock can panic half-way.
        let mut log = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_new(trouble) {
            tracing::warn!(?caller, error = trouble, "connection of a helper failed");
        }
    }
}

async fn accept_all(listener: Listener, door: Door, guard: Guard, arrivals: mpsc::Sender<Arrival>) {
    let operators = Arc::new(Semaphore::new(MAX_OPERATORS));
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
                tracing::warn!(%error, "cannot accept a connection; retrying");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        number += 3;
        let connection = ConnectionId(number);
        let arrivals = arrivals.clone();
        match door {
            Door::Helpers => {
                let guard = guard.clone();
                tokio::spawn(async move {
                    let served = helper(stream, caller, connection, &guard, &arrivals).await;
                    if let Err(error) = served {
                        guard.complain(caller, &format!("{error:#}"));
                    }
                    // A closed channel means that core is ending.
                    let _ = arrivals.send(Arrival::Gone(connection)).await;
                });
            }
            Door::Operators | Door::Observers => {
                let Ok(permit) = Arc::clone(&operators).try_acquire_owned() else {
                    tracing::warn!(
                        ?caller,
                        "turning an operator away: {MAX_OPERATORS} are connected"
                    );
                    continue;
                };
                tokio::spawn(async move {
                    if let Err(error) = operator(stream, door, caller, connection, &arrivals).await
                    {
                        tracing::info!(
                            ?caller,
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
    caller: Caller,
    connection: ConnectionId,
    guard: &Guard,
    arrivals: &mpsc::Sender<Arrival>,
) -> anyhow::Result<()> {
    let (mut receiver, sender) = transport::split(stream, HELPER_BACKLOG)?;
    let hello = match admit(&mut receiver, &sender, caller, guard).await {
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
    caller: Caller,
    guard: &Guard,
) -> anyhow::Result<Hello> {
    if guard.access.may_help(caller) {
        return greet(receiver, sender, &[Role::Pinger, Role::Ifscripts]).await;
    }
    sender.send(&Hello::new(Role::Core))?;
    let uid = caller
        .uid
        .map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    anyhow::bail!("the user {uid} may not be a helper; core's --helper-user says who")
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
