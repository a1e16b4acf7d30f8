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
    has its file and line, so check the sources rather than the database. The exit code is 1 if \
    there are errors.\n\n\
    Examples:\n\
    \x20 connect-cli db check /etc/tripe/peers.d\n\
    \x20 connect-cli db check peers.cdb --strict")]
pub(crate) struct Check {
    /// A database, or files or directories of sources [default: the service's database].
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
        let files = if self.files.is_empty() {
            vec![input::or_default(None, common)]
        } else {
            self.files
        };
        let remarks = look(&files, common)?;
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
            common.out.line(&findings::summary(&remarks))?;
        }
        Ok(if ok { Exit::Success } else { Exit::Failure })
    }
}

/// Everything that is wrong with a database, or with the sources of one.
fn look(files: &[PathBuf], common: &Common) -> Result<Vec<Remark>, Error> {
    let directory = common.directory();
    let input = match files {
        [file] => Input::read(file, common)?,
        // Several sources make one database, several databases make none.
        files => Input::Source(input::compile(files, &[], common)),
    };
    Ok(match input {
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
    })
}
