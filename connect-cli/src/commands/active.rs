// SPDX-License-Identifier: GPL-3.0-or-later
//! `active`: makes a connection to a peer of the database.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use super::wait::{self, Goal, WaitOptions};
use crate::common::{Common, Pace};
use crate::error::Error;

/// Make an active connection to a peer
#[derive(Args, Debug)]
#[command(after_help = "\
    The peer is added to the server with what its record says. The command ends when the \
    server has added it, which may wait for its name to be looked up. With --wait it ends \
    when keys are agreed with the peer or it has answered a ping (exit code 0), when it is \
    found unreachable, is removed or its connect command fails (1), or when --timeout is over \
    (124).\n\n\
    Examples:\n\
    \x20 connect-cli active alice\n\
    \x20 connect-cli active alice --wait --timeout 1m")]
pub(crate) struct Active {
    #[command(flatten)]
    options: WaitOptions,
    /// The peer's name.
    peer: String,
}

impl Active {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let words = &["active", &self.peer];
        if self.options.wait {
            return wait::command(common, words, self.options.json, Goal::Active).await;
        }
        submit::command(common, words, self.options.json, Pace::Slow).await
    }
}
