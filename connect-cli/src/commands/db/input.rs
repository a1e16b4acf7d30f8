// SPDX-License-Identifier: GPL-3.0-or-later
//! What the database tools read: a compiled database, or sources that are compiled first.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use connect_policy::keys;
use peerdb::Database;
use peerdb::source::{Compilation, Source, SystemResolver};

use super::findings;
use super::kind;
use crate::common::{Common, Pace};
use crate::error::DbError;
use crate::output::progress;

/// Where sources are in the configuration directory.
pub(crate) const SOURCES: &str = "peers.d";

/// Whether sources have something for the compiler: peers, or what it will complain about.
pub(crate) fn describes_peers(compilation: &Compilation) -> bool {
    compilation.has_errors() || compilation.peers().next().is_some()
}

/// Something read.
#[derive(Debug)]
pub(crate) enum Input {
    /// A compiled database.
    Database(Database),
    /// What sources were compiled to.
    Source(Compilation),
}

impl Input {
    /// Reads a database, or compiles sources if that is what the path names.
    pub(crate) fn read(path: &Path, common: &Common) -> Result<Self, DbError> {
        if kind::is_source(path, common) {
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
pub(crate) struct Definition {
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
pub(crate) fn compile<P: AsRef<Path>>(
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

/// The sources that are compiled if none are named.
pub(crate) fn default_sources(common: &Common) -> PathBuf {
    common.directory().join(SOURCES)
}
