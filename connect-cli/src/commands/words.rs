// SPDX-License-Identifier: GPL-3.0-or-later
//! Commands for words of other tools that cannot simply be a second name of one of our commands.
//! The help names `show' beside the command that it is most like.

use clap::Args;
use connect_runtime::exit::Exit;

use super::info::Info;
use super::status::Status;
use crate::common::Common;
use crate::completing;
use crate::error::Error;

/// Show the state: of one peer everything, of several or all a table
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The peers.
    #[arg(value_name = "PEER", add = completing::peers())]
    peers: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) async fn run(mut self, common: &mut Common) -> Result<Exit, Error> {
        match self.peers.pop() {
            Some(peer) if self.peers.is_empty() => Info::of(peer, self.json).run(common).await,
            last => {
                self.peers.extend(last);
                Status::of(self.peers, self.json).run(common).await
            }
        }
    }
}

/// Print the version
#[derive(Args, Debug)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let Version {} = self;
        let version = concat!("connect-cli ", env!("CARGO_PKG_VERSION"));
        common.out.line(version)?;
        Ok(Exit::Success)
    }
}
