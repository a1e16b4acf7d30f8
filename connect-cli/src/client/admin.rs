// SPDX-License-Identifier: GPL-3.0-or-later
//! The connection to the tripe server, and why it could not be asked.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connect_runtime::exit::Exit;
use tripe_admin::client::{Answer, Client, ClientError};

use super::limit::within;

/// Why the tripe server could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// We may not use the socket.
    #[error(
        "permission to use the tripe server's socket {path} is denied: run this as its owner, or \
         as a user in its group"
    )]
    Denied { path: PathBuf },
    #[error(
        "the tripe server has not answered for {} s, and may still carry out the command: check \
         whether its process hangs or is stopped, or wait longer with --timeout",
        .0.as_secs()
    )]
    Timeout(Duration),
    /// Only a directory was named, and the server's socket is not in it.
    #[error(
        "there is no socket of a tripe server in {directory}{}, and no service tells which server is \
         meant: name the socket with -a, such as `-a {socket}\'",
        if directory.is_dir() { "" } else { ", which is no directory" }
    )]
    NotInDirectory { directory: PathBuf, socket: PathBuf },
    /// The service that was named runs on another host.
    #[error(
        "{program} forwards the socket of the service from another host, whose tripe server cannot \
         be reached from here: run the command there, with -H HOST"
    )]
    Elsewhere { program: String },
    /// The server closed the connection while we were receiving broadcasts.
    #[error("the tripe server closed the connection: it has ended, or it is being restarted")]
    Ended,
    /// A command without words.
    #[error("the command is empty; `connect-cli admin HELP' lists the commands")]
    Empty,
    /// A command with a tag for a job.
    #[error("leave out -background and its tag: this program waits for the command in any case")]
    Background,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl AdminError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            AdminError::Denied { .. } => Exit::NoPermission,
            AdminError::Empty
            | AdminError::Background
            | AdminError::Client(ClientError::Refused(_)) => Exit::Usage,
            AdminError::Client(ClientError::Failed(_)) => Exit::Failure,
            AdminError::Client(ClientError::PathTooLong { .. }) => Exit::System,
            AdminError::Timeout(_)
            | AdminError::NotInDirectory { .. }
            | AdminError::Elsewhere { .. }
            | AdminError::Ended
            | AdminError::Client(ClientError::Connect { .. } | ClientError::Closed) => {
                Exit::Unavailable
            }
        }
    }
}

/// Connects to the server.
pub(crate) async fn connect(socket: &Path) -> Result<Client, AdminError> {
    Client::connect(socket).await.map_err(|error| match error {
        ClientError::Connect { path, source }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            AdminError::Denied { path }
        }
        other => AdminError::Client(other),
    })
}

/// Gives the server a command and waits for the answer.
pub(crate) async fn ask(
    client: &mut Client,
    words: &[String],
    limit: Option<Duration>,
) -> Result<Answer, AdminError> {
    Ok(within(limit, client.command(words), AdminError::Timeout).await??)
}

/// Makes the server remove a peer. A name that looks like an option follows `--`, since some
/// servers take options here; one that does not refuses that, and is then asked without.
pub(crate) async fn kill(
    client: &mut Client,
    peer: &str,
    limit: Option<Duration>,
) -> Result<Answer, AdminError> {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    if peer.starts_with('-') {
        match ask(client, &words(&["KILL", "--", peer]), limit).await {
            Err(AdminError::Client(ClientError::Failed(failure)))
                if failure.code() == "bad-syntax" => {}
            answer => return answer,
        }
    }
    ask(client, &words(&["KILL", peer]), limit).await
}
