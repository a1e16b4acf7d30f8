// SPDX-License-Identifier: GPL-3.0-or-later
//! `userpeer`: tells which peer a user stands for.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// Tell which peer a user stands for
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints the peer's name.\n\n\
    Examples:\n\
    \x20 connect-cli userpeer alice")]
pub(crate) struct Userpeer {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// The user's name.
    user: String,
}

impl Userpeer {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        submit::command(common, &["userpeer", &self.user], self.json, Pace::Quick).await
    }
}
