// SPDX-License-Identifier: GPL-3.0-or-later
//! What the database tools read: a compiled database, or sources that are compiled on the spot.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use peerdb::source::{Compilation, Source, SystemResolver};
use peerdb::{Database, LoadError};

use crate::common::{Common, Pace};
use crate::output::progress;

/// How much of a file is looked at: the header of a database, which has a NUL in every file that is
/// not far too large to be read.
const HEADER: u64 = 2048;

/// Something read.
#[derive(Debug)]
pub(crate) enum Input {
    /// A compiled database.
    Database(Database),
    /// What sources were compiled to.
    Source(Compilation),
}

/// Whether the path names sources: a directory, or a file of text.
fn is_source(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        // Then it is reported as a database that is missing.
        return false;
    };
    if !metadata.is_file() {
        // Looking at a pipe would take away what is in it, and a database cannot come from one.
        return true;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER).read_to_end(&mut start));
    read.is_ok() && !start.contains(&0)
}

impl Input {
    /// Reads a database, or compiles sources if that is what the path names.
    pub(crate) fn read(path: &Path, common: &Common) -> Result<Self, LoadError> {
        if is_source(path) {
            return Ok(Input::Source(compile(&[path], common)));
        }
        progress::during(&format!("reading {}", path.display()), || {
            Database::load(path).map(Input::Database)
        })
    }

    /// The database, as it is or would be written.
    pub(crate) fn into_database(self) -> Database {
        match self {
            Input::Database(database) => database,
            Input::Source(compilation) => compilation.database(),
        }
    }

    /// The compilation, if it has errors, so that there is no whole database.
    pub(crate) fn broken(&self) -> Option<&Compilation> {
        match self {
            Input::Source(compilation) if compilation.has_errors() => Some(compilation),
            Input::Source(_) | Input::Database(_) => None,
        }
    }
}

/// Compiles sources.
pub(crate) fn compile<P: AsRef<Path>>(paths: &[P], common: &Common) -> Compilation {
    let mut resolver = SystemResolver::default();
    if let Some(limit) = common.limit(Pace::Slow) {
        resolver.limit = limit;
    }
    progress::during("compiling the sources", || {
        Source::read(paths).compile(&resolver)
    })
}

/// The file named, else the database that the service reads.
pub(crate) fn or_default(file: Option<PathBuf>, common: &Common) -> PathBuf {
    file.unwrap_or_else(|| connect_runtime::paths::database(None, &common.directory()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_databases_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_source(dir.path()));
        assert!(!is_source(&dir.path().join("missing")));
        let file = dir.path().join("file");
        fs::write(&file, "[hub]\n").unwrap();
        assert!(is_source(&file));
        peerdb::Writer::new().write(&file).unwrap();
        assert!(!is_source(&file));
    }
}
