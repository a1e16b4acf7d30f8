// SPDX-License-Identifier: GPL-3.0-or-later
//! `reload`: has the service read its database now.

use clap::Args;
use connect_ipc::control::Request;
use connect_runtime::exit::Exit;

use super::submit;
use super::wait::{self, WaitOptions};
use crate::common::{Common, Pace};
use crate::error::Error;

/// Make the service read its peer database now
#[derive(Args, Debug)]
#[command(after_help = "\
    The service looks for a new database every second by itself; this is for scripts that \
    want to know what came of it: with --wait the command ends when the database is taken up \
    (exit code 0) or found faulty (65), or when --timeout is over (124).\n\n\
    Examples:\n\
    \x20 connect-cli reload --wait")]
pub(crate) struct Reload {
    #[command(flatten)]
    options: WaitOptions,
}

impl Reload {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if self.options.wait {
            return wait::reload(common, self.options.json).await;
        }
        let words = ["reload".to_owned()];
        submit::request(
            common,
            &words,
            Request::Reload {},
            self.options.json,
            Pace::Quick,
        )
        .await
    }
}
