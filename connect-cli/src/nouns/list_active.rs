// SPDX-License-Identifier: GPL-3.0-or-later
//! `list-active`: lists the peers that active can be given.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::context::{Context, Pace};
use crate::error::Error;

/// List the peers of the database that can be connected to
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints one name a line.\n\n\
    Examples:\n\
    \x20 connect-cli list-active")]
pub struct ListActive {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

impl ListActive {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked or the command fails.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        let words = vec!["list-active".to_owned()];
        submit::command(context, words, self.json, Pace::Prompt).await
    }
}
