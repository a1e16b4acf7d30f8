// SPDX-License-Identifier: GPL-3.0-or-later
//! `sabotage`: makes the service believe that a peer does not answer.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// Make the service believe that a peer does not answer, to test what happens then
#[derive(Args, Debug)]
#[command(after_help = "\
    To have the connection made anew, use kick.\n\n\
    Examples:\n\
    \x20 connect-cli sabotage alice")]
pub(crate) struct Sabotage {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// The peer's name.
    peer: String,
}

impl Sabotage {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        submit::command(common, &["sabotage", &self.peer], self.json, Pace::Quick).await
    }
}
