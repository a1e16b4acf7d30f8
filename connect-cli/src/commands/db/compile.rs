// SPDX-License-Identifier: GPL-3.0-or-later
//! `db compile`: from peers.in(5) sources to a database.

use std::path::{Path, PathBuf};

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::source::Compilation;
use peerdb::{Severity, Writer};
use serde::Serialize;

use super::findings::{self, Remark};
use super::input::{self, Definition};
use super::overwrite::{self, Old};
use crate::client::meant::leads_to_same;
use crate::common::Common;
use crate::error::{DbError, Error};
use crate::output::SCHEMA;
use crate::output::progress;
use crate::output::text;

/// Compile sources into a database
#[derive(Args, Debug)]
#[command(after_help = "\
    The new file replaces the old one in one step, so a running service never reads half a file. \
    Of a directory all files are read except hidden ones and backups. Faults are printed to \
    standard error with file and line. Nothing is written if one of them is an error, or if the \
    sources have no peers and the database has some. The database never replaces one of its \
    sources, and replaces a file that is no database only with --force; it does replace a damaged \
    database. If the database already has exactly these records, it is not written again.\n\n\
    Examples:\n\
    \x20 connect-cli db compile\n\
    \x20 connect-cli db compile /etc/tripe/peers.d -o /etc/tripe/peers.cdb\n\
    \x20 connect-cli db compile --define gateway=berlin")]
pub(crate) struct Compile {
    /// Files or directories of sources [default: peers.d in the configuration directory].
    #[arg(value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The database to write [default: the service's database, for the default sources only].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Give a key a value that is not in the sources, as if it were assigned last in the section
    /// @GLOBAL. May be given several times.
    #[arg(short = 'D', long, value_name = "KEY=VALUE")]
    define: Vec<Definition>,
    /// Write nothing either if there are warnings.
    #[arg(long)]
    strict: bool,
    /// Write what is sound in spite of errors, even over a file that is no database, and even if no
    /// peers are left.
    #[arg(long, conflicts_with = "strict")]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct CompileReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The file of the database.
    output: String,
    /// Whether the database was written.
    written: bool,
    /// Whether the database has just these records already, so that it was left alone.
    unchanged: bool,
    /// How many peers it has.
    peers: usize,
    /// How many users it has.
    users: usize,
    /// Peers to be added at start-up.
    auto: usize,
    /// What was found in the sources.
    findings: &'a [Remark],
}

/// What happened to the database.
#[derive(Debug)]
enum Outcome {
    Written(Old),
    /// It has just these records already.
    Unchanged,
    Refused(DbError),
}

impl Compile {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let default = input::default_sources(common);
        let output = self.output(&default, common)?;
        let compilation = if self.sources.is_empty() {
            input::compile(&[default], &self.define, common)
        } else {
            input::compile(&self.sources, &self.define, common)
        };
        let remarks = findings::of_compilation(&compilation);
        if !self.json {
            findings::to_stderr(&remarks);
        }
        let database = compilation.database();
        let outcome = match self.refuse(&output, &remarks, &compilation, common) {
            Err(error) => Outcome::Refused(error),
            Ok(old) => write(&compilation.writer(), &output, old)?,
        };
        if self.json {
            common.out.json(&CompileReport {
                schema: SCHEMA,
                output: output.display().to_string(),
                written: matches!(outcome, Outcome::Written(_)),
                unchanged: matches!(outcome, Outcome::Unchanged),
                peers: database.sorted_peers().len(),
                users: database.users().len(),
                auto: database.auto().len(),
                findings: &remarks,
            })?;
        }
        let done = match outcome {
            Outcome::Written(Old::Sound) => "",
            Outcome::Written(Old::Damaged) => "; the damaged file was replaced",
            Outcome::Unchanged => "; unchanged, so not written again",
            Outcome::Refused(error) => return Err(error.into()),
        };
        if !self.json {
            let peers = text::count(database.sorted_peers().len(), "peer");
            let users = text::count(database.users().len(), "user");
            common.out.line(&format!(
                "{}: {peers}, {users}, {} to be added at start-up{done}",
                output.display(),
                database.auto().len(),
            ))?;
        }
        Ok(Exit::Success)
    }

    /// The database to write. That of the service is the default for its own sources only: other
    /// ones are tried out more often than put into use.
    fn output(&self, default: &Path, common: &Common) -> Result<PathBuf, DbError> {
        let other = self
            .sources
            .iter()
            .find(|path| !leads_to_same(path, default));
        match (&self.output, other) {
            (None, Some(source)) => Err(DbError::NoOutput {
                named: source.clone(),
                in_use: input::or_default(None, common),
            }),
            (output, _) => Ok(input::or_default(output.clone(), common)),
        }
    }

    /// What the database will replace, or why it must not be written.
    fn refuse(
        &self,
        output: &Path,
        remarks: &[Remark],
        compilation: &Compilation,
        common: &Common,
    ) -> Result<Old, DbError> {
        let default = [input::default_sources(common)];
        let named = if self.sources.is_empty() {
            &default[..]
        } else {
            &self.sources
        };
        if let Some(error) = overwrite::of_source(output, compilation, named) {
            return Err(error);
        }
        if self.force {
            return Ok(Old::Sound);
        }
        let strict = !findings::any(remarks, Severity::Error);
        let worst = if self.strict {
            Severity::Warning
        } else {
            Severity::Error
        };
        let path = output.to_owned();
        if findings::any(remarks, worst) {
            let summary = findings::summary(remarks);
            return Err(DbError::NotWritten {
                path,
                summary,
                strict,
            });
        }
        overwrite::of_file(output, compilation, common)
    }
}

/// Writes the database, unless the file already has it: programs that watch the file would load it
/// again, and a backup would store it again.
fn write(writer: &Writer, output: &Path, old: Old) -> Result<Outcome, DbError> {
    progress::during(&format!("writing {}", output.display()), || {
        if writer.is_written(output) {
            return Ok(Outcome::Unchanged);
        }
        writer.write(output).map_err(DbError::Write)?;
        Ok(Outcome::Written(old))
    })
}
