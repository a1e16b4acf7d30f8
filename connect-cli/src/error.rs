// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that can end a command, and the exit code of each.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use connect_ipc::scripts::{Ended, ScriptKind};
use connect_runtime::exit::Exit;
use peerdb::{LoadError, WriteError};

use crate::client::admin::AdminError;
use crate::client::connection::ControlError;
use crate::output::{event_text, text};

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
        "{subject}: the command was given, but its result has not come within {} s; it may still \
         come",
        limit.as_secs()
    )]
    Late {
        /// The peer, or the database.
        subject: String,
        limit: Duration,
    },
    /// Nothing was heard of a script for `limit`.
    #[error(
        "{what}, and nothing was heard of it for {} s; it goes on all the same, and `connect-cli \
         info' says how it ends: wait longer with --timeout, or let `connect-cli doctor' say how \
         to end a script that hangs",
        limit.as_secs()
    )]
    ScriptSilent {
        /// What the script does or waits for.
        what: String,
        limit: Duration,
    },
    /// Everything was told; the program ends with this status.
    #[error("status {0}")]
    Status(u8),
    /// Another host cannot be asked.
    #[error("{host}: {why}")]
    Host { host: String, why: String },
    /// A name of a host that is none.
    #[error("`{0}' is not the name of a host")]
    NoHost(String),
    /// Several hosts are named where only one can be.
    #[error(
        "this command works with one host only, since it does not end by itself or has one \
         answer: name one host with -H"
    )]
    SeveralHosts,
    /// A script that was to be run did not end well.
    #[error("{0}")]
    Script(ScriptEnd),
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
            Error::ScriptSilent { .. } => Exit::Unavailable,
            Error::Host { .. } => Exit::Unavailable,
            Error::NoHost(_) | Error::SeveralHosts => Exit::Usage,
            Error::Failed(_) | Error::Script(_) | Error::Status(_) => Exit::Failure,
            Error::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NoPermission
            }
            Error::System { .. } | Error::Output(_) | Error::Runtime(_) => Exit::System,
        }
    }
}

/// A script that did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{peer}: {}: {}", kind.name(), text::clean(&event_text::script_end(end).0))]
pub(crate) struct ScriptEnd {
    pub(crate) peer: String,
    pub(crate) kind: ScriptKind,
    pub(crate) end: Ended,
}

impl ScriptEnd {
    /// The status to end with, as a shell would for a command of its own.
    pub(crate) fn status(&self) -> u8 {
        // What is no status of a process counts as a failure.
        let or_failure = |status: i32| u8::try_from(status).unwrap_or(Exit::Failure as u8);
        match self.end {
            Ended::Exited(status) => or_failure(status),
            Ended::Signal(signal) => or_failure(signal.saturating_add(SIGNALLED)),
            Ended::NotStarted(_) => NOT_EXECUTED,
            Ended::TimedOut => Exit::Late as u8,
            Ended::Unknown(_) | Ended::Stopped | Ended::Lost => Exit::Failure as u8,
        }
    }
}

/// What a shell adds to the number of the signal that has killed a command.
const SIGNALLED: i32 = 128;

/// What a shell says of a command that it cannot execute.
const NOT_EXECUTED: u8 = 126;

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
    /// The sources have no peers, and how many the database has cannot be told.
    #[error(
        "{path}: not written: the sources have 0 peers, and the database is damaged, so that it \
         is not known how many it has: name the right sources, or replace it with --force"
    )]
    PeersUnknown { path: PathBuf },
    /// The file to be written is there and holds something else.
    #[error(
        "{path} is not a database, so it is not overwritten: name another file with -o, or \
         overwrite it with --force"
    )]
    NoDatabase { path: PathBuf },
    /// The file to be written is a source.
    #[error(
        "{path}: not written: it is one of the sources, which the database would replace: name \
         another file with -o"
    )]
    IsSource { path: PathBuf },
    /// The file to be written is in a directory of sources.
    #[error(
        "{path}: not written: it is in the directory of sources {directory}, and would be read as a \
         source the next time: name a file elsewhere with -o"
    )]
    AmongSources { path: PathBuf, directory: PathBuf },
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
    /// Sources other than the default ones are named, and no database.
    #[error(
        "to compile {named}, name the database too: add `-o FILE', or `-o {in_use}' to put it \
         into use"
    )]
    NoOutput {
        named: PathBuf,
        /// The database that the service reads.
        in_use: PathBuf,
    },
    /// The sources are faulty, so there is no database to read.
    #[error("{path} does not compile ({summary}): correct the sources")]
    NotCompiled {
        path: PathBuf,
        /// The number of faults.
        summary: String,
    },
    /// The database does not have the peer.
    #[error("{path} has no peer {peer}; `connect-cli db dump' lists its peers")]
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
            | DbError::PeersUnknown { .. }
            | DbError::NoDatabase { .. }
            | DbError::NotCompiled { .. } => Exit::Data,
            DbError::IsSource { .. } | DbError::AmongSources { .. } => Exit::Usage,
            DbError::Write(WriteError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NoPermission
            }
            DbError::NoSuchPeer { .. } => Exit::Failure,
            DbError::NoOutput { .. } => Exit::Usage,
            DbError::Load(_) | DbError::Write(_) => Exit::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gives_its_status_as_in_a_shell() {
        let status = |end| {
            let (peer, kind) = ("p".to_owned(), ScriptKind::Ifup);
            ScriptEnd { peer, kind, end }.status()
        };
        assert_eq!(status(Ended::Exited(77)), 77);
        assert_eq!(status(Ended::Exited(-1)), 1);
        assert_eq!(status(Ended::Signal(15)), 143);
        assert_eq!(status(Ended::NotStarted(String::new())), 126);
        assert_eq!(status(Ended::TimedOut), 124);
        assert_eq!(status(Ended::Lost), 1);
    }
}
