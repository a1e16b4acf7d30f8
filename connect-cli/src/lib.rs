// SPDX-License-Identifier: GPL-3.0-or-later
//! The operators' tool of the connect service: looks at it, commands it, and tends its database.
//!
//! ```text
//!   options --> nouns::* --+--> connection: the service's control socket
//!                          +--> tripe_admin::client: the tripe server's socket
//!                          +--> peerdb: files
//!                          +--> output: tables, JSON, colour
//! ```
//!
//! Each command is one file in [`nouns`]. What a person reads may be put better in any version;
//! what `--json` prints keeps its meaning as long as [`output::SCHEMA`] stays the same.

pub mod connection;
pub mod context;
pub mod error;
pub mod happening;
pub mod interrupt;
pub mod notes;
pub mod nouns;
pub mod options;
pub mod output;
pub mod progress;
pub mod subscription;
pub mod table;
pub mod text;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use connect_runtime::exit::{Exit, Fatal};

use crate::context::Context;
use crate::error::Error;
use crate::options::Cli;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough, as with `| head`.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Exit::Success.into()
        }
        Err(error) => {
            let fatal = Fatal::new(error.exit(), error);
            error::tell(&fatal.error.to_string());
            fatal.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let mut context = Context::new(cli.common);
    let ended = runtime.block_on(nouns::run(cli.noun, &mut context));
    // What was printed before an error is of use all the same.
    let flushed = context.out.finish();
    let exit = ended?;
    flushed?;
    Ok(exit)
}
