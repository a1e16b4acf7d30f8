// SPDX-License-Identifier: GPL-3.0-or-later
//! `adopted`: lists the peers that the service looks after.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::context::{Context, Pace};
use crate::error::Error;

/// List the peers that the service pings
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints one name a line.\n\n\
    Examples:\n\
    \x20 connect-cli adopted")]
pub struct Adopted {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

impl Adopted {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked or the command fails.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        let words = vec!["adopted".to_owned()];
        submit::command(context, words, self.json, Pace::Prompt).await
    }
}
