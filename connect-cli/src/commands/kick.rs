// SPDX-License-Identifier: GPL-3.0-or-later
//! `kick`: makes the connection to a peer anew.

use clap::Args;
use connect_runtime::exit::Exit;

use super::submit;
use super::wait::{self, Goal, WaitOptions};
use crate::common::{Common, Pace};
use crate::error::Error;

/// Make a new attempt to connect to a peer that is added
#[derive(Args, Debug)]
#[command(after_help = "\
    The peer's record needs a key connect or knock. The command does not wait for the \
    outcome unless --wait is given; then it ends when keys are agreed with the peer or it \
    answers again (exit code 0), when it is found unreachable, is removed or its connect \
    command fails (1), or when --timeout is over (124).\n\n\
    Examples:\n\
    \x20 connect-cli kick alice\n\
    \x20 connect-cli kick alice --wait --timeout 30")]
pub(crate) struct Kick {
    #[command(flatten)]
    options: WaitOptions,
    /// The peer's name.
    peer: String,
}

impl Kick {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let words = &["kick", &self.peer];
        if self.options.wait {
            return wait::command(common, words, self.options.json, Goal::Kick).await;
        }
        submit::command(common, words, self.options.json, Pace::Quick).await
    }
}
