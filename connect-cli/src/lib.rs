// SPDX-License-Identifier: GPL-3.0-or-later
//! The operators' tool of the connect service: looks at it, commands it, and maintains its
//! database.
//!
//! ```text
//!   cli --> commands::* --+--> client: the service's control socket, the tripe server's socket
//!                         +--> peerdb: files
//!                         +--> output: tables, text, JSON, colour
//! ```
//!
//! Each command is one file or folder in `commands`, except for the short ones in
//! `commands::shortcuts`. What a person reads may be worded better in any version; what `--json`
//! prints keeps its meaning as long as `output::SCHEMA` stays the same.

mod cli;
mod client;
mod commands;
mod common;
mod completing;
mod error;
mod interrupt;
mod output;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::streams::{self, Stream};

use crate::cli::Cli;
use crate::common::Common;
use crate::error::Error;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    completing::answer(Cli::command);
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => {
            streams::flush();
            exit.into()
        }
        // The reader has closed the pipe, as `| head` does.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Exit::Success.into()
        }
        // The script's own status, whichever it is.
        Err(Error::Script(end)) => {
            output::to_stderr(&end.to_string());
            ExitCode::from(end.status())
        }
        Err(error) => {
            let fatal = Fatal::new(error.exit(), error);
            let text = fatal.error.to_string();
            let text = output::text::clean(&text);
            Stream::Err.last_line(format!("connect-cli: {text}"));
            fatal.exit.into()
        }
    }
}

/// The description of the command line, from which the manual pages are made.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}

fn run(cli: Cli) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let mut common = Common::new(cli.common);
    let ended = runtime.block_on(Cli::run(cli.command, &mut common));
    // What was printed before an error is useful as well.
    let flushed = common.out.finish();
    let exit = ended?;
    flushed?;
    Ok(exit)
}
