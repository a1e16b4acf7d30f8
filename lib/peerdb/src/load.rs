// SPDX-License-Identifier: GPL-3.0-or-later
//! Why a whole database file could not be read; every message names the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::structure::{Damage, MAX_FILE_SIZE};

/// Why a database could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error(
        "there is no peer database {path}; make one with `connect-cli db compile -o {path} SOURCE...`, \
         or name the right file"
    )]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error(
        "permission to read the peer database {path} is denied; make it readable for this user, and \
         every directory above it searchable"
    )]
    Denied {
        /// The file asked for.
        path: PathBuf,
    },
    /// There was no descriptor or no memory left to read the file with.
    #[error(
        "the peer database {path} cannot be read now ({source}); wait, close what is open, or raise the \
         limit on open files or memory"
    )]
    Exhausted {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened, looked at or read for another reason.
    #[error("the peer database {path} cannot be read ({source}); check the file system it is on")]
    Io {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path names something that is not a plain file.
    #[error(
        "the peer database {path} is not a plain file: name a file in cdb format, as written by the \
         compiler of peers.in(5)"
    )]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_FILE_SIZE`].
    #[error(
        "the peer database {path} is larger than {} MiB, the most that is read: check that this is the \
         right file", MAX_FILE_SIZE >> 20
    )]
    TooLarge {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file changed each time it was copied.
    #[error(
        "the peer database {path} changed while it was read, {attempts} times in a row: let its writer \
         build a new file and rename it over the old one"
    )]
    Unstable {
        /// The file asked for.
        path: PathBuf,
        /// How often reading was tried.
        attempts: u32,
    },
    /// The file is not a sound constant database.
    #[error(
        "the peer database {path} is damaged or not in cdb format ({damage}); compile it again from \
         its sources with `connect-cli db compile`"
    )]
    Damaged {
        /// The file asked for.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The private copy could not be made or read.
    #[error(
        "no private copy of the peer database {path} could be made ({source}); free some memory or \
         space for temporary files"
    )]
    Snapshot {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LoadError {
    /// The error for a file that could not be opened or looked at.
    pub(crate) fn from_open(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) => LoadError::Missing { path },
            Some(Errno::ACCESS | Errno::PERM) => LoadError::Denied { path },
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                LoadError::Exhausted { path, source }
            }
            _ => LoadError::Io { path, source },
        }
    }
}
