// SPDX-License-Identifier: GPL-3.0-or-later
//! `kill`: removes a peer from the server.

use clap::Args;
use connect_runtime::exit::Exit;

use super::admin;
use super::wait::{self, WaitOptions};
use crate::common::{Common, Pace};
use crate::error::Error;

/// Remove a peer from the server
#[derive(Args, Debug)]
#[command(after_help = "\
    The tripe server is asked itself. The service notices, runs the peer's disconnect and \
    ifdown, and pings it no more. With --wait the command ends when it has noticed (exit \
    code 0), or when --timeout is over (124).\n\n\
    Examples:\n\
    \x20 connect-cli kill alice\n\
    \x20 connect-cli kill alice --wait")]
pub(crate) struct Kill {
    #[command(flatten)]
    options: WaitOptions,
    /// The peer's name.
    peer: String,
}

impl Kill {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let words = vec!["KILL".to_owned(), self.peer];
        if self.options.wait {
            return wait::kill(common, words, self.options.json).await;
        }
        admin::command(common, words, self.options.json, Pace::Quick).await
    }
}
