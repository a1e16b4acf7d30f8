// SPDX-License-Identifier: GPL-3.0-or-later
//! What the database tools read: a compiled database, or sources that are compiled first.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use connect_policy::keys;
use peerdb::Database;
use peerdb::source::{Compilation, Source, SystemResolver};

use super::findings;
use crate::common::{Common, Pace};
use crate::error::DbError;
use crate::output::progress;

/// How much of a file is examined: the header of a database. It has a NUL in every database that is
/// not far too large to be read.
const HEADER: u64 = 2048;

/// The highest byte of a position or number in the header of a database. It allows for a file of
/// half a gibibyte, twice the most that is read. Text begins with bytes above it.
const HIGHEST: u8 = 0x1f;

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
        // A missing file is reported as a missing database.
        return false;
    };
    if !metadata.is_file() {
        // Reading from a pipe would consume its content, and a database cannot come from a pipe.
        return true;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER).read_to_end(&mut start));
    read.is_ok() && !is_header(&start)
}

/// Whether a file begins like a database, even a damaged one: with the position and size of a table
/// in binary, least byte first. Text with a NUL in it does not, nor does text in UTF-16.
pub(super) fn is_header(start: &[u8]) -> bool {
    let marked = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    let small = |at: usize| {
        start
            .get(at)
            .is_none_or(|byte| *byte <= HIGHEST && *byte != b'\n')
    };
    // Byte 6 is not zero for a table of millions of slots, or for a letter in UTF-16.
    start.contains(&0) && !marked && [3, 6, 7].into_iter().all(small)
}

impl Input {
    /// Reads a database, or compiles sources if that is what the path names.
    pub(crate) fn read(path: &Path, common: &Common) -> Result<Self, DbError> {
        if is_source(path) {
            return Ok(Input::Source(compile(&[path], &[], common)));
        }
        progress::during(&format!("reading {}", path.display()), || {
            let database = Database::load(path).map_err(DbError::Load)?;
            Ok(Input::Database(database))
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

/// The database of a path, with nothing missing.
pub(crate) fn complete(path: &Path, common: &Common) -> Result<Database, DbError> {
    let input = Input::read(path, common)?;
    let Some(compilation) = input.broken() else {
        return Ok(input.into_database());
    };
    let remarks = findings::of_compiler(compilation);
    findings::to_stderr(&remarks);
    Err(DbError::NotCompiled {
        path: path.to_owned(),
        summary: findings::summary(&remarks),
    })
}

/// A key and its value, as `--define` gives them.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    key: String,
    value: String,
}

impl FromStr for Definition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        let (key, value) = (key.trim(), value.trim());
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || !key.chars().all(plain) {
            return Err(format!(
                "`{key}' is no key: use letters, digits, `-', `_' and `.'"
            ));
        }
        if value.contains(['\n', '\r']) {
            return Err("the value must be one line".to_owned());
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        Ok(Definition { key, value })
    }
}

/// Compiles sources, with these keys in addition to theirs.
pub(super) fn compile<P: AsRef<Path>>(
    paths: &[P],
    defined: &[Definition],
    common: &Common,
) -> Compilation {
    let mut resolver = SystemResolver::default();
    if let Some(limit) = common.limit(Pace::Slow) {
        resolver.limit = limit;
    }
    progress::during("compiling the sources", || {
        let mut source = Source::read(paths, keys::is_known);
        for Definition { key, value } in defined {
            source.define("--define", key, value, keys::is_known);
        }
        source.compile(&resolver)
    })
}

/// The named file, or else the database that the service reads.
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
        let database = fs::read(&file).unwrap();
        for length in [9, 100, 2048] {
            fs::write(&file, &database[..length]).unwrap();
            assert!(!is_source(&file), "{length} bytes");
        }
        for text in [
            b"[hub]\npeer = INET 192.0.2.1\0\n".as_slice(),
            b"\0[hub]\n",
            b"[\0hub]\n",
            b"hub\0= 1\n",
            b"\xff\xfe[\0h\0u\0b\0]\0",
            b"\xfe\xff\0[\0h\0u\0b\0]",
            b"[\0h\0u\0b\0]\0\n\0",
            b"\0[\0h\0u\0b\0]\0\n",
        ] {
            fs::write(&file, text).unwrap();
            assert!(is_source(&file), "{text:?}");
        }
    }
}
