// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that can end a command, and the exit code of each.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use connect_runtime::exit::Exit;
use peerdb::{LoadError, WriteError};
use tripe_admin::client::ClientError;

use crate::connection::ControlError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service could not be asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The tripe server could not be asked.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A database or its sources could not be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The service or the server answered that the command failed.
    #[error("{}", crate::text::failure(.0))]
    Failed(Vec<String>),
    /// What was waited for did not come about.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// A file or an address could not be used.
    #[error("cannot {action}: {source}")]
    Place {
        /// What was tried, and with what.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not start.
    #[error("cannot start the event loop: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// The code to exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Control(error) => error.exit(),
            Error::Admin(error) => error.exit(),
            Error::Db(error) => error.exit(),
            Error::Wait(error) => error.exit(),
            Error::Failed(_) => Exit::Failure,
            Error::Place { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NoPermission
            }
            Error::Place { .. } | Error::Output(_) | Error::Runtime(_) => Exit::System,
        }
    }
}

/// Why something that was waited for did not come about.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Something else did.
    #[error("{subject}: {what}")]
    Otherwise {
        /// What it was waited for with.
        subject: String,
        /// What happened instead.
        what: String,
        /// The code to exit with.
        exit: Exit,
    },
    /// Nothing did in time.
    #[error(
        "{subject}: the command was given, but its outcome has not come within {} s; it may still \
         come",
        limit.as_secs()
    )]
    Late {
        /// What was waited for.
        subject: String,
        /// How long.
        limit: Duration,
    },
}

impl WaitError {
    /// The code to exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            WaitError::Otherwise { exit, .. } => *exit,
            WaitError::Late { .. } => Exit::Late,
        }
    }
}

/// Why the tripe server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket is not for us.
    #[error(
        "permission to use the tripe server's socket {} is denied: run this as the user or in the \
         group that it belongs to",
        path.display()
    )]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// No answer in time.
    #[error(
        "the tripe server has not answered for {} s: try again with a longer --timeout",
        .0.as_secs()
    )]
    Timeout(Duration),
    /// The end of what was watched.
    #[error("the tripe server has closed the connection: it has ended, or restarts")]
    Ended,
    /// A command without words.
    #[error("the command is empty; `connect-cli admin HELP' lists those that there are")]
    Empty,
    /// A command with a tag for a job.
    #[error("leave out -background and its tag: the command is waited for in any case")]
    Background,
    /// Everything else.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl AdminError {
    /// The code to exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            AdminError::Denied { .. } => Exit::NoPermission,
            AdminError::Empty
            | AdminError::Background
            | AdminError::Client(ClientError::Refused(_)) => Exit::Usage,
            AdminError::Client(ClientError::Failed(_)) => Exit::Failure,
            AdminError::Timeout(_)
            | AdminError::Ended
            | AdminError::Client(ClientError::Connect { .. } | ClientError::Closed) => {
                Exit::Unavailable
            }
        }
    }
}

/// Why a database or its sources could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A database could not be read.
    #[error(transparent)]
    Load(LoadError),
    /// A database could not be written.
    #[error(transparent)]
    Write(WriteError),
    /// The sources are faulty, so the database stays as it was.
    #[error(
        "{} was not written ({summary}): correct the sources and compile them again",
        path.display()
    )]
    NotWritten {
        /// The database that was to be written.
        path: PathBuf,
        /// How many faults there are.
        summary: String,
    },
    /// The sources are faulty, so they give no database to look at.
    #[error("{} does not compile ({summary}): correct the sources", path.display())]
    NotCompiled {
        /// The source.
        path: PathBuf,
        /// How many faults there are.
        summary: String,
    },
    /// The database does not have the peer.
    #[error(
        "{} has no peer {peer}; `connect-cli db dump' shows those that there are",
        path.display()
    )]
    NoSuchPeer {
        /// The database or source.
        path: PathBuf,
        /// The peer.
        peer: String,
    },
}

impl DbError {
    /// The code to exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            DbError::Load(LoadError::Denied { .. }) => Exit::NoPermission,
            DbError::Load(LoadError::Damaged { .. } | LoadError::TooLarge { .. })
            | DbError::NotWritten { .. }
            | DbError::NotCompiled { .. } => Exit::Data,
            DbError::Write(WriteError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NoPermission
            }
            DbError::NoSuchPeer { .. } => Exit::Failure,
            DbError::Load(_) | DbError::Write(_) => Exit::System,
        }
    }
}

/// Tells something on standard error that is no part of the result.
pub fn tell(text: &str) {
    tell_bare(&format!("connect-cli: {text}"));
}

/// Tells something on standard error without saying who tells it.
pub fn tell_bare(text: &str) {
    // Standard error may be the closed end of a pipe; then nobody is there to be told.
    let _ = writeln!(io::stderr(), "{}", crate::text::clean(text));
}
