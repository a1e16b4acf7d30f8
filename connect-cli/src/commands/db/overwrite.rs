// SPDX-License-Identifier: GPL-3.0-or-later
//! Files that `db compile` must not replace with a database: its own sources, and files of another
//! kind.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use peerdb::source::Compilation;
use peerdb::{Database, LoadError, writer};

use super::kind;
use crate::common::Common;
use crate::error::DbError;

/// The lowest position of the first table of a database: after the header.
const HEADER: u64 = kind::HEADER;

/// Which file a path leads to: its device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Why the database must not be written here, even with `--force`: a source would be lost, or the
/// database would be read as a source the next time. `named` are the sources as they were given.
pub(super) fn of_source(
    output: &Path,
    compilation: &Compilation,
    named: &[PathBuf],
) -> Option<DbError> {
    let path = || output.to_owned();
    if let Some(target) = identity(output) {
        let mut files = compilation.files();
        if files.any(|file| identity(file) == Some(target)) {
            return Some(DbError::IsSource { path: path() });
        }
    }
    let target = writer::destination(output);
    let name = target.file_name()?.as_encoded_bytes();
    // Hidden files are not read.
    if name.starts_with(b".") {
        return None;
    }
    let place = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => identity(parent)?,
        _ => identity(Path::new("."))?,
    };
    let directory = named.iter().find(|source| identity(source) == Some(place));
    directory.map(|directory| DbError::AmongSources {
        path: path(),
        directory: directory.clone(),
    })
}

/// What the database replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    /// A database, an empty file, or nothing.
    Sound,
    /// A damaged database.
    Damaged,
}

/// What an existing file is, or why it must not be replaced with the database without `--force`.
pub(super) fn of_file(
    output: &Path,
    compilation: &Compilation,
    common: &Common,
) -> Result<Old, DbError> {
    let path = output.to_owned();
    let some = compilation.peers().next().is_some();
    match Database::load(output) {
        Ok(_) if some => Ok(Old::Sound),
        Ok(old) => match (old.sorted_peers().len(), old.faults().is_empty()) {
            (0, true) => Ok(Old::Sound),
            (0, false) => Err(DbError::PeersUnknown { path }),
            (peers, _) => Err(DbError::NoPeersLeft { path, peers }),
        },
        // If it is not a file, the write will be refused.
        Err(LoadError::Missing { .. } | LoadError::NotAFile { .. }) => Ok(Old::Sound),
        Err(LoadError::Damaged { .. }) => {
            let start = kind::start(output).unwrap_or_default();
            if start.is_empty() {
                // Nothing can be lost in an empty file.
                some.then_some(Old::Sound)
                    .ok_or(DbError::PeersUnknown { path })
            } else if !was_database(&start, output, common) {
                Err(DbError::NoDatabase { path })
            } else {
                some.then_some(Old::Damaged)
                    .ok_or(DbError::PeersUnknown { path })
            }
        }
        Err(error) => Err(DbError::Load(error)),
    }
}

/// Whether a file with this start was a database before it was damaged. At the place of a database
/// everything was one that is not text: sources may be there by mistake.
fn was_database(start: &[u8], path: &Path, common: &Common) -> bool {
    kind::is_header(start) && has_tables(start)
        || kind::is_place(path, common) && !kind::is_text(start)
}

/// Whether most tables in a header begin where the table before ends, the first after the header.
/// A file of NULs or an archive may begin with such numbers as a header has, but not in this order.
fn has_tables(header: &[u8]) -> bool {
    let mut words = header.as_chunks().0.iter();
    let mut word = || {
        words
            .next()
            .map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
    };
    let mut tables = Vec::new();
    while let (Some(position), Some(slots)) = (word(), word()) {
        tables.push((position, slots));
    }
    let follows = |pair: &[(u64, u64)]| pair[0].0 + pair[0].1 * 8 == pair[1].0;
    let good = tables.windows(2).filter(|pair| follows(pair)).count();
    tables.first().is_some_and(|first| first.0 >= HEADER) && good * 2 >= tables.len()
}
