// SPDX-License-Identifier: GPL-3.0-or-later
//! `db`: the tools for the peer database.

pub mod check;
pub mod compile;
pub mod diff;
pub mod dump;
pub mod explain;
pub mod findings;
pub mod input;

use clap::{Args, Subcommand};
use connect_runtime::exit::Exit;

use crate::context::Context;
use crate::error::Error;

/// Compile, show, check, compare and explain peer databases
#[derive(Args, Debug)]
pub struct Db {
    /// What to do with them.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Compile(compile::Compile),
    Dump(dump::Dump),
    Check(check::Check),
    Diff(diff::Diff),
    Explain(explain::Explain),
}

impl Db {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if a file cannot be read or written, or is faulty.
    pub fn run(self, context: &mut Context) -> Result<Exit, Error> {
        match self.verb {
            Verb::Compile(compile) => compile.run(context),
            Verb::Dump(dump) => dump.run(context),
            Verb::Check(check) => check.run(context),
            Verb::Diff(diff) => diff.run(context),
            Verb::Explain(explain) => explain.run(context),
        }
    }
}
