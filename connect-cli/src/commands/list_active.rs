// SPDX-License-Identifier: GPL-3.0-or-later
//! `list-active`: lists the peers that active can be given.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// List the peers of the database that can be connected to
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints one name a line.\n\n\
    Examples:\n\
    \x20 connect-cli list-active")]
pub(crate) struct ListActive {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

impl ListActive {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        submit::command(common, &["list-active"], self.json, Pace::Quick).await
    }
}
