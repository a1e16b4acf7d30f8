// SPDX-License-Identifier: GPL-3.0-or-later
//! `db compile`: from peers.in(5) sources to a database.

use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::Severity;
use serde::Serialize;

use super::findings::{self, Remark};
use super::input;
use crate::common::Common;
use crate::error::{DbError, Error};
use crate::output::SCHEMA;
use crate::output::progress;
use crate::output::text;

/// Compile sources into a database
#[derive(Args, Debug)]
#[command(after_help = "\
    The file appears whole or not at all, so a service that reads it needs no pause. Of a \
    directory all files are read, but for hidden ones and backups. Faults are told on standard \
    error with file and line; nothing is written if there is an error in the sources.\n\n\
    Examples:\n\
    \x20 connect-cli db compile /etc/tripe/peers.d -o /etc/tripe/peers.cdb")]
pub(crate) struct Compile {
    /// Files or directories of sources.
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,
    /// The database to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write nothing either if there are warnings, or a check finds an error.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct CompileReport<'a> {
    schema: u32,
    output: String,
    /// Whether the database was written.
    written: bool,
    peers: usize,
    users: usize,
    /// Peers to be added at start-up.
    auto: usize,
    findings: &'a [Remark],
}

impl Compile {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let compilation = input::compile(&self.sources, common);
        let remarks = findings::of_compilation(&compilation);
        if !self.json {
            findings::to_stderr(&remarks);
        }
        let refused =
            compilation.has_errors() || self.strict && findings::any(&remarks, Severity::Warning);
        if !refused {
            progress::during(&format!("writing {}", self.output.display()), || {
                compilation.writer().write(&self.output)
            })
            .map_err(DbError::Write)?;
        }
        let database = compilation.database();
        if self.json {
            common.out.json(&CompileReport {
                schema: SCHEMA,
                output: self.output.display().to_string(),
                written: !refused,
                peers: database.sorted_peers().len(),
                users: database.users().len(),
                auto: database.auto().len(),
                findings: &remarks,
            })?;
        } else if !refused {
            let peers = text::count(database.sorted_peers().len(), "peer");
            let users = text::count(database.users().len(), "user");
            common.out.line(&format!(
                "{}: {peers}, {users}, {} to be added at start-up",
                self.output.display(),
                database.auto().len(),
            ))?;
        }
        if refused {
            return Err(DbError::NotWritten {
                path: self.output,
                summary: findings::summary(&remarks),
            }
            .into());
        }
        Ok(Exit::Success)
    }
}
