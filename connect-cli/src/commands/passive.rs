// SPDX-License-Identifier: GPL-3.0-or-later
//! `passive`: waits for a user's peer to make contact.

use clap::Args;
use connect_runtime::exit::Exit;
use tripe_admin::Interval;

use super::submit;
use crate::common::{Common, Pace};
use crate::error::Error;

/// Wait for a peer to make contact, and add it when it does
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints a challenge at once. The command ends when a greeting with this challenge has \
    come and the peer is added, or when none has come in time. This is what the far end's \
    connect command runs.\n\n\
    Examples:\n\
    \x20 connect-cli passive alice\n\
    \x20 connect-cli passive --wait 1m alice")]
pub(crate) struct Passive {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// How long to wait for the greeting [default: 30s].
    #[arg(long, value_name = "TIME")]
    wait: Option<Interval>,
    /// The user's name.
    user: String,
}

impl Passive {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let wait = self.wait.map(|wait| wait.to_string());
        let mut words = vec!["passive"];
        if let Some(wait) = &wait {
            words.extend(["-timeout", wait]);
        }
        // A user's name may look like an option.
        words.extend(["--", &self.user]);
        submit::command(common, &words, self.json, Pace::Slow).await
    }
}
