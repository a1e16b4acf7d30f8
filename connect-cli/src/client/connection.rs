// SPDX-License-Identifier: GPL-3.0-or-later
//! The client's end of the service's control socket.
//!
//! ```text
//!   core --hello--> us       checked: the same version of the messages?
//!   us --hello, request--> core
//!   core --reply...--> us    until one that is final
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_ipc::control::{Answer, Envelope, Reply, Request, SCHEMA};
use connect_ipc::hello::{Hello, HelloError, Role};
use connect_runtime::exit::Exit;
use connect_runtime::transport::{
    self, CLIENT_BACKLOG, ReceiveError, Receiver, SendError, Sender, SocketError,
};
use connect_runtime::users;

use super::limit::within;
use super::meant::{OtherService, Served};

/// The bit of a socket's mode with which its group may connect.
const GROUP_WRITE: u32 = 0o020;

/// The name of the socket for looking only (`connect_runtime::paths`).
const OBSERVE_SOCKET: &str = "observe.sock";

/// Programs that pass sockets of other hosts on.
const RELAYS: [&str; 4] = ["ssh", "sshd", "sshd-session", "socat"];

/// Why the service could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nothing answers on the socket.
    #[error(
        "no connect service is running here: nothing answers on {path} ({source}){also}; start the \
         service, or name its socket with --control, --runtime-dir or -a"
    )]
    NoService {
        path: PathBuf,
        source: io::Error,
        /// Where else it was looked for, as the end of a clause.
        also: String,
    },
    /// A service answers, but it is not the one that was named.
    #[error(transparent)]
    Other(#[from] OtherService),
    /// We may not use the socket.
    #[error("permission to use {path} is denied: {}", permitted(path))]
    Denied { path: PathBuf },
    /// The socket could not be used for another reason.
    #[error(transparent)]
    Socket(SocketError),
    /// The service speaks another version of the messages.
    #[error("the service on {path} and this program do not understand each other: {source}")]
    Mismatch {
        path: PathBuf,
        /// What does not fit.
        source: HelloError,
    },
    /// The service's answers have another schema than the one that we read.
    #[error(
        "the service (version {version}) answers with schema {theirs}, but this program reads \
         {SCHEMA}: install the same version of both"
    )]
    Schema { theirs: u32, version: String },
    /// Something else listens on the socket.
    #[error(
        "the program that listens on {path} is no connect service: {why}; name the right socket \
         with --control"
    )]
    NotTheService {
        path: PathBuf,
        /// What it sent.
        why: String,
    },
    /// The connection was closed before any hello.
    #[error(
        "the service on {path} closed the connection at once: it is ending, or it has too many \
         connections; try again"
    )]
    ClosedAtOnce { path: PathBuf },
    /// The service has no place for this connection.
    #[error("the service refused this connection: {0}")]
    NoPlace(String),
    #[error(
        "the service has not answered for {} s, and may still carry out the command, which may \
         need longer (--timeout); if it never answers, its process hangs or is stopped: `connect-cli \
         doctor' says what to do",
        .0.as_secs()
    )]
    Timeout(Duration),
    /// There was no event for so long as the user wanted to wait.
    #[error("no event has come for {} s, the time of --timeout", .0.as_secs())]
    Silent(Duration),
    /// The connection ended before the answer was complete.
    #[error("the service closed the connection before it had answered: look at its log")]
    Lost,
    /// The connection ended while we were receiving events.
    #[error("the service closed the connection: it has ended, or it is being restarted")]
    Ended,
    /// The connection broke.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The request could not be sent.
    #[error("cannot ask the service: {0}")]
    Send(#[from] SendError),
    /// The service did not understand the request. It may be older than this program.
    #[error("the service did not understand: {0}")]
    Refused(String),
    /// A reply that does not belong to the request.
    #[error("the service sent an answer that does not belong to the request; look at its log")]
    Unexpected,
}

impl ControlError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            ControlError::NoService { .. }
            | ControlError::Other(_)
            | ControlError::ClosedAtOnce { .. }
            | ControlError::NoPlace(_)
            | ControlError::Timeout(_)
            | ControlError::Lost
            | ControlError::Ended => Exit::Unavailable,
            ControlError::Silent(_) => Exit::Late,
            ControlError::Denied { .. } => Exit::NoPermission,
            ControlError::Mismatch { .. }
            | ControlError::Schema { .. }
            | ControlError::NotTheService { .. }
            | ControlError::Refused(_)
            | ControlError::Receive(ReceiveError::Frame(_))
            | ControlError::Unexpected => Exit::Protocol,
            ControlError::Socket(_) | ControlError::Receive(ReceiveError::Io(_)) => Exit::System,
            // Only a request with words that are too long can be too long.
            ControlError::Send(SendError::Frame(_)) => Exit::Usage,
            ControlError::Send(SendError::Gone | SendError::Stuck(_)) => Exit::Unavailable,
        }
    }

    fn from_hello(path: PathBuf, error: HelloError) -> Self {
        match error {
            HelloError::Role { role } => ControlError::NotTheService {
                path,
                why: format!("it says that its role is {role:?}"),
            },
            source @ HelloError::Protocol { .. } => ControlError::Mismatch { path, source },
        }
    }

    fn from_connecting(path: PathBuf, error: SocketError) -> Self {
        match error {
            SocketError::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ControlError::Denied { path },
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::ConnectionRefused => {
                    let also = String::new();
                    ControlError::NoService { path, source, also }
                }
                _ => ControlError::Socket(SocketError::Io {
                    action: "connect to",
                    path,
                    source,
                }),
            },
            other => ControlError::Socket(other),
        }
    }
}

/// Who may use a socket, and how to become one of them.
fn permitted(path: &Path) -> String {
    let Ok(metadata) = fs::metadata(path) else {
        return "only the service's own user and the socket's group may use it; run this as one of \
                them"
            .to_owned();
    };
    let owner = users::user_name(metadata.uid());
    let also = if metadata.uid() == 0 {
        ""
    } else {
        " or as root"
    };
    if metadata.mode() & GROUP_WRITE == 0 {
        return format!("only its owner {owner} may use it; run this as {owner}{also}");
    }
    let group = users::group_name(metadata.gid());
    // Nobody should become a member of root's group for this, since its members may do far more,
    // nor of the group of the service's user, whose members could make sockets in its place.
    if [Some(0), users::primary_group(metadata.uid())].contains(&Some(metadata.gid())) {
        let option = if path.file_name() == Some(OBSERVE_SOCKET.as_ref()) {
            "as a user who may use control.sock, or start the service with --observe-mode 666, so \
             that everybody may look"
        } else {
            "start the service with --control-group GROUP and add those to the group who may \
             command"
        };
        return format!(
            "its owner {owner} and the group {group} may use it, which is not for operators; run \
             this as {owner}{also}, or {option}"
        );
    }
    let ourselves = users::user_name(rustix::process::geteuid().as_raw());
    format!(
        "its owner {owner} and the group {group} may use it; `usermod -aG {group} {ourselves}', as \
         root, adds the user {ourselves} to the group, from the next login on"
    )
}

/// A connection to the service.
#[derive(Debug)]
pub(crate) struct Control {
    receiver: Receiver,
    sender: Sender,
    version: String,
    /// Which service it is, as it says.
    served: Served,
    /// The process that listens, as the system says.
    listener: Option<i32>,
    limit: Option<Duration>,
    /// The number of the request in progress.
    request: u64,
    /// Whether replies to others were read and skipped.
    passed_over: bool,
}

impl Control {
    /// Connects and exchanges hellos. `hello` limits how long that may take, `limit` how long each
    /// further message may take.
    pub(crate) async fn open(
        path: &Path,
        hello: Option<Duration>,
        limit: Option<Duration>,
    ) -> Result<Self, ControlError> {
        let path = path.to_owned();
        let stream = match within(hello, transport::connect(&path), ControlError::Timeout).await? {
            Ok(stream) => stream,
            Err(error) => return Err(ControlError::from_connecting(path, error)),
        };
        let listener = transport::other_side(&stream).pid;
        let (mut receiver, sender) = transport::split(stream, CLIENT_BACKLOG)?;
        let theirs = match within(hello, receiver.next::<Hello>(), ControlError::Timeout).await? {
            Ok(Some(theirs)) => theirs,
            Ok(None) => return Err(ControlError::ClosedAtOnce { path }),
            Err(ReceiveError::Frame(error)) => {
                let why = error.to_string();
                return Err(ControlError::NotTheService { path, why });
            }
            Err(error) => return Err(error.into()),
        };
        theirs
            .check(&[Role::Core])
            .map_err(|error| ControlError::from_hello(path.clone(), error))?;
        sender.send(&Hello::new(Role::Operator))?;
        Ok(Control {
            receiver,
            sender,
            version: theirs.version,
            served: Served {
                path,
                socket: theirs.socket,
                directory: theirs.directory,
            },
            listener,
            limit,
            request: 0,
            passed_over: false,
        })
    }

    /// Sends a request and returns its number; [`Control::reply`] gives its replies.
    pub(crate) fn ask(&mut self, request: Request) -> Result<u64, ControlError> {
        self.request += 1;
        let envelope = Envelope {
            id: self.request,
            request,
        };
        match self.sender.send(&envelope) {
            // If the service has closed the connection, it may have sent the reason before.
            Ok(()) | Err(SendError::Gone) => Ok(self.request),
            Err(error) => Err(error.into()),
        }
    }

    /// Which service answers.
    pub(crate) const fn served(&self) -> &Served {
        &self.served
    }

    /// The program that listens on the socket, if it is one that passes sockets of other hosts on.
    pub(crate) fn relay(&self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.listener?)).ok()?;
        let name = name.trim_end();
        RELAYS.contains(&name).then(|| name.to_owned())
    }

    /// From now on this is the time limit for a message, if there is any: nobody knows when the
    /// next event occurs.
    pub(crate) const fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    /// The next reply to the request in progress. Replies to others are skipped.
    pub(crate) async fn reply(&mut self) -> Result<Reply, ControlError> {
        loop {
            let (id, reply) = self.answer().await?;
            if id == self.request {
                return Ok(reply);
            }
            self.passed_over = true;
        }
    }

    /// Whether replies to other requests, such as events, were skipped since the last call of this.
    pub(crate) fn has_passed_over(&mut self) -> bool {
        std::mem::take(&mut self.passed_over)
    }

    /// The next reply to any request, with the request's number. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Result<(u64, Reply), ControlError> {
        let answer = within(
            self.limit,
            self.receiver.next::<Answer>(),
            ControlError::Timeout,
        )
        .await??;
        let answer = answer.ok_or(ControlError::Lost)?;
        match answer.reply {
            // A request that core could not read has no number.
            Reply::Error(why) => Err(ControlError::Refused(why)),
            Reply::Busy { why } => Err(ControlError::NoPlace(why)),
            reply => {
                self.check_schema(&reply)?;
                Ok((answer.id, reply))
            }
        }
    }

    fn check_schema(&self, reply: &Reply) -> Result<(), ControlError> {
        let theirs = match reply {
            Reply::Service(status) => status.schema,
            Reply::Peer(detail) => detail.schema,
            _ => return Ok(()),
        };
        if theirs == SCHEMA {
            return Ok(());
        }
        Err(ControlError::Schema {
            theirs,
            version: self.version.clone(),
        })
    }
}
