// SPDX-License-Identifier: GPL-3.0-or-later
//! `db check`: looks for mistakes in a database or its sources.

use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::Severity;
use serde::Serialize;

use super::findings::{self, Remark};
use super::input::{self, Input};
use super::missing;
use crate::common::Common;
use crate::error::Error;
use crate::output::SCHEMA;
use crate::output::progress;

/// Look for mistakes in a database or its sources
#[derive(Args, Debug)]
#[command(after_help = "\
    Checks the type and the range of each key that a program reads, and finds keys that look \
    misspelt, and scripts and networks that this host does not have. For sources, each finding \
    has its file and line. If no file is named, the sources that `db compile' would read are \
    checked; if they have no peers, the service's database is. The exit code is 1 if there are \
    errors.\n\n\
    Examples:\n\
    \x20 connect-cli db check\n\
    \x20 connect-cli db check /etc/tripe/peers.d\n\
    \x20 connect-cli db check peers.cdb --strict")]
pub(crate) struct Check {
    /// A database, or files or directories of sources [default: the sources that `db compile'
    /// reads, else the service's database].
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 1 for warnings as well.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct CheckReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// What was checked.
    files: Vec<String>,
    /// Whether there is no error; with `--strict`, no warning either.
    ok: bool,
    /// What was found.
    findings: &'a [Remark],
}

impl Check {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let (files, input) = if self.files.is_empty() {
            by_default(common)?
        } else {
            let input = read(&self.files, common)?;
            (self.files, input)
        };
        let checked = named(&files, &input);
        let remarks = look(input, common);
        let worst = if self.strict {
            Severity::Warning
        } else {
            Severity::Error
        };
        let ok = !findings::any(&remarks, worst);
        if self.json {
            common.out.json(&CheckReport {
                schema: SCHEMA,
                files: files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect(),
                ok,
                findings: &remarks,
            })?;
        } else {
            findings::print(&remarks, common)?;
            let summary = findings::summary(&remarks);
            common.out.line(&format!("{checked}: {summary}"))?;
        }
        Ok(if ok { Exit::Success } else { Exit::Failure })
    }
}

/// What is checked if no file is named: the sources, since a mistake is corrected there, and they
/// may have been changed since they were compiled. Where they have no peers, perhaps only the
/// sample of the package, the database comes from elsewhere.
fn by_default(common: &Common) -> Result<(Vec<PathBuf>, Input), Error> {
    let database = input::or_default(None, common);
    let sources = input::default_sources(common);
    if sources.is_dir() {
        let compilation = input::compile(&[&sources], &[], common);
        if input::describes_peers(&compilation) || !database.exists() {
            return Ok((vec![sources], Input::Source(compilation)));
        }
    }
    let input = Input::read(&database, common)?;
    Ok((vec![database], input))
}

/// Reads the named files.
fn read(files: &[PathBuf], common: &Common) -> Result<Input, Error> {
    Ok(match files {
        [file] => Input::read(file, common)?,
        // Several sources make one database, several databases make none.
        files => Input::Source(input::compile(files, &[], common)),
    })
}

/// What was checked, for people.
fn named(files: &[PathBuf], input: &Input) -> String {
    let what = match input {
        Input::Database(_) => "compiled database",
        Input::Source(_) => "sources",
    };
    match files {
        [file] => format!("{} ({what})", file.display()),
        files => format!("{} files ({what})", files.len()),
    }
}

/// Everything that is wrong with a database, or with the sources of one.
fn look(input: Input, common: &Common) -> Vec<Remark> {
    let directory = common.directory();
    match input {
        Input::Database(database) => progress::during("checking the database", || {
            let mut remarks = findings::of_database(&database);
            remarks.extend(findings::of(&missing::check(&database, None, &directory)));
            remarks
        }),
        Input::Source(compilation) => {
            let database = compilation.database();
            let missing = missing::check(&database, Some(&compilation), &directory);
            let mut remarks = findings::of_compilation(&compilation);
            remarks.extend(findings::of(&missing));
            remarks
        }
    }
}
