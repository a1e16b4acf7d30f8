// SPDX-License-Identifier: GPL-3.0-or-later
//! `db`: the tools for the peer database.

pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod explain;
pub(crate) mod findings;
pub(crate) mod input;
pub(crate) mod kind;
mod missing;
pub(crate) mod networks;
mod overwrite;
mod running;
mod shell;

use clap::{Args, Subcommand};
use connect_runtime::exit::Exit;

use crate::common::Common;
use crate::error::Error;

/// Compile, show, check, compare and explain peer databases
#[derive(Args, Debug)]
pub(crate) struct Db {
    /// What to do with them.
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    Compile(compile::Compile),
    Dump(dump::Dump),
    Check(check::Check),
    Diff(diff::Diff),
    Explain(explain::Explain),
}

impl Db {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        match self.command {
            DbCommand::Compile(compile) => compile.run(common),
            DbCommand::Dump(dump) => dump.run(common),
            DbCommand::Check(check) => check.run(common),
            DbCommand::Diff(diff) => diff.run(common).await,
            DbCommand::Explain(explain) => explain.run(common),
        }
    }
}
