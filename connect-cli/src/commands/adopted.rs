// SPDX-License-Identifier: GPL-3.0-or-later
//! `adopted`: lists the peers that the service looks after.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// List the peers that the service pings
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints one name a line.\n\n\
    Examples:\n\
    \x20 connect-cli adopted")]
pub(crate) struct Adopted {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
}

impl Adopted {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        submit::command(common, &["adopted"], self.json, Pace::Quick).await
    }
}
