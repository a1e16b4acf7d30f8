// SPDX-License-Identifier: GPL-3.0-or-later
//! `quit`: ends the service.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// Make the service end
#[derive(Args, Debug)]
#[command(after_help = "\
    The peers stay with the server; nobody pings them any more. A supervisor may start the \
    service again.\n\n\
    Examples:\n\
    \x20 connect-cli quit")]
pub(crate) struct Quit {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

impl Quit {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        submit::command(common, &["quit"], self.json, Pace::Quick).await
    }
}
