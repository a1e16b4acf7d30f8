// SPDX-License-Identifier: GPL-3.0-or-later
//! `sabotage`: makes the service believe that a peer does not answer.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::context::{Context, Pace};
use crate::error::Error;

/// Make the service believe that a peer does not answer, to test what happens then
#[derive(Args, Debug)]
#[command(after_help = "\
    To have the connection made anew, use kick.\n\n\
    Examples:\n\
    \x20 connect-cli sabotage alice")]
pub struct Sabotage {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// The peer's name.
    peer: String,
}

impl Sabotage {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked or the command fails.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        let words = vec!["sabotage".to_owned(), self.peer];
        submit::command(context, words, self.json, Pace::Prompt).await
    }
}
