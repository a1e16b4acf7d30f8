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
#[cfg(fuzzing)]
pub mod fuzzing;
mod interrupt;
mod output;
#[cfg(feature = "schema")]
pub mod schema;
mod tips;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::streams::{self, Stream};

use crate::cli::{Cli, CommandLine};
use crate::commands::no_database;
use crate::common::Common;
use crate::error::Error;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    completing::answer(Cli::command);
    let (cli, line) = match parse() {
        Ok(parsed) => parsed,
        // A monitor would take the usual code for a critical state.
        Err(error) if error.use_stderr() && cli::is_check() => {
            // Nobody may be there to read it.
            let _ = error.print();
            return ExitCode::from(3);
        }
        Err(error) => error.exit(),
    };
    match run(cli, &line) {
        Ok(exit) => {
            streams::flush();
            exit.into()
        }
        // The reader has closed the pipe, as `| head` does.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Exit::Success.into()
        }
        Err(Error::Status(status)) => {
            streams::flush();
            ExitCode::from(status)
        }
        // The script's own status, whichever it is.
        Err(Error::Script(end)) => {
            output::to_stderr(&end.to_string());
            ExitCode::from(end.status())
        }
        Err(error) => {
            let fatal = Fatal::new(error.exit(), error);
            let text = output::for_stderr(&format!("connect-cli: {}", fatal.error));
            Stream::Err.last_line(text);
            fatal.exit.into()
        }
    }
}

/// The description of the command line, from which the manual pages are made.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// What the command line asks for, and how it was given.
fn parse() -> Result<(Cli, CommandLine), clap::Error> {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let matches = Cli::command().try_get_matches();
    let matches = matches.map_err(|error| tips::advised(error, &Cli::command(), &words))?;
    let cli = Cli::from_arg_matches(&matches)?;
    Ok((cli, CommandLine { matches, words }))
}

fn run(cli: Cli, line: &CommandLine) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let mut common = Common::new(cli.common.clone());
    let ended = runtime.block_on(async {
        match cli.run(line, &mut common).await {
            Err(error) => Err(no_database::explained(error, &common).await),
            ended => ended,
        }
    });
    // What was printed before an error is useful as well.
    let flushed = common.out.finish();
    let exit = ended?;
    flushed?;
    Ok(exit)
}
