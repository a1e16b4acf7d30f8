// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that can end a command, and the exit code of each.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use connect_runtime::exit::Exit;
use peerdb::{LoadError, WriteError};

use crate::client::admin::AdminError;
use crate::client::connection::ControlError;
use crate::output::text;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    #[error("{}", text::failure(.0))]
    Failed(Vec<String>),
    /// Something else happened than what was waited for.
    #[error("{subject}: {what}")]
    OtherOutcome {
        /// The peer, or the database.
        subject: String,
        /// What happened instead.
        what: String,
        exit: Exit,
    },
    /// What was waited for did not happen in time.
    #[error(
        "{subject}: the command was given, but its outcome has not come within {} s; it may still \
         come",
        limit.as_secs()
    )]
    Late {
        /// The peer, or the database.
        subject: String,
        limit: Duration,
    },
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// A file or an address could not be used.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, and with which file or address.
        action: String,
        source: io::Error,
    },
    /// The program could not start.
    #[error("cannot start the event loop: {0}")]
    Runtime(io::Error),
}

impl Error {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Error::Control(error) => error.exit(),
            Error::Admin(error) => error.exit(),
            Error::Db(error) => error.exit(),
            Error::OtherOutcome { exit, .. } => *exit,
            Error::Late { .. } => Exit::Late,
            Error::Failed(_) => Exit::Failure,
            Error::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NoPermission
            }
            Error::System { .. } | Error::Output(_) | Error::Runtime(_) => Exit::System,
        }
    }
}

/// Success, unless the service or the server said that the command failed.
pub(crate) fn succeeded(failure: Option<Vec<String>>) -> Result<Exit, Error> {
    failure.map_or(Ok(Exit::Success), |words| Err(Error::Failed(words)))
}

/// Why a database or its sources could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// A database could not be read.
    #[error(transparent)]
    Load(LoadError),
    /// A database could not be written.
    #[error(transparent)]
    Write(WriteError),
    /// The sources are faulty, so the database stays as it was.
    #[error(
        "{path}: not written: {summary}; correct the sources and compile them again{}",
        forced(*.strict)
    )]
    NotWritten {
        /// The database that was to be written.
        path: PathBuf,
        /// The number of faults.
        summary: String,
        /// Whether only `--strict` forbids it.
        strict: bool,
    },
    /// The sources have no peers, but the database that they would replace has.
    #[error(
        "{path}: not written: the sources have 0 peers, and the database has {peers}: name the right \
         sources, or remove the peers with --force"
    )]
    NoPeersLeft { path: PathBuf, peers: usize },
    /// The sources are faulty, so there is no database to read.
    #[error("{path} does not compile ({summary}): correct the sources")]
    NotCompiled {
        path: PathBuf,
        /// The number of faults.
        summary: String,
    },
    /// The database does not have the peer.
    #[error("{path} has no peer {peer}; `connect-cli db dump' shows those that there are")]
    NoSuchPeer {
        /// The database or source.
        path: PathBuf,
        peer: String,
    },
}

/// What else can be done about faulty sources.
fn forced(strict: bool) -> &'static str {
    if strict {
        ", or leave --strict out"
    } else {
        ", or write what is sound with --force"
    }
}

impl DbError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            DbError::Load(LoadError::Denied { .. }) => Exit::NoPermission,
            DbError::Load(LoadError::Damaged { .. } | LoadError::TooLarge { .. })
            | DbError::NotWritten { .. }
            | DbError::NoPeersLeft { .. }
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
