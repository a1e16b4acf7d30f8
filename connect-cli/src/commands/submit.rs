// SPDX-License-Identifier: GPL-3.0-or-later
//! `submit`: any command of the service, as `SVCSUBMIT connect` would give it.

use clap::Args;
use connect_ipc::control::Request;
use connect_runtime::exit::Exit;
use tripe_admin::token;

use crate::client::connection::ControlError;
use crate::client::requests;
use crate::common::{Common, Pace};
use crate::error::{Error, succeeded};
use crate::output::report::CommandReport;

/// Give the service a command of connect(8), whichever it is
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints the words of each line of the answer as it comes; words with blanks are quoted as in \
    tripe-admin(5). Write options of this program before COMMAND; everything after it goes to \
    the service.\n\n\
    Examples:\n\
    \x20 connect-cli submit help\n\
    \x20 connect-cli submit passive -timeout 1m alice\n\
    \x20 connect-cli submit --json info alice")]
pub(crate) struct Submit {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// The command and its arguments.
    #[arg(
        value_name = "COMMAND",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Submit {
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let words = self.words.clone();
        request(
            common,
            &self.words,
            Request::Submit { words },
            self.json,
            Pace::Slow,
        )
        .await
    }
}

/// Sends the request that a command stands for, and prints the answer.
pub(crate) async fn request(
    common: &mut Common,
    words: &[String],
    request: Request,
    json: bool,
    pace: Pace,
) -> Result<Exit, Error> {
    let mut control = common.control(pace).await?;
    let mut lines = Vec::new();
    let answer = requests::command(&mut control, request, |line| {
        if json {
            lines.push(line);
            return Ok(());
        }
        // A challenge must be printed at once, not when the command has ended.
        Ok::<(), Error>(common.out.line_flushed(&token::join(line))?)
    });
    let failure = match answer.await {
        // A service that was told to quit may end before it has sent its answer.
        Err(Error::Control(ControlError::Lost)) if is_quit(words) => None,
        answer => answer?,
    };
    if json {
        let report = CommandReport::new(words, &lines, failure.as_deref());
        common.out.json(&report)?;
    }
    succeeded(failure)
}

/// Whether the command asks the service to end.
fn is_quit(words: &[String]) -> bool {
    words
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case("quit"))
}
