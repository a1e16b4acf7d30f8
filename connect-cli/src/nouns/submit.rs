// SPDX-License-Identifier: GPL-3.0-or-later
//! `submit`: any command of the service, as `SVCSUBMIT connect` would give it.

use clap::Args;
use connect_ipc::control::{Reply, Request};
use connect_runtime::exit::Exit;
use serde::Serialize;
use tripe_admin::token;

use crate::connection::ControlError;
use crate::context::{Context, Pace};
use crate::error::Error;
use crate::output::SCHEMA;

/// Give the service a command of connect(8), whichever it is
#[derive(Args, Debug)]
#[command(after_help = "\
    The words of each line of the answer are printed as they come, quoted as in \
    tripe-admin(5) where they have blanks in them. Options of this program go before \
    COMMAND; what follows it is all the service's.\n\n\
    Examples:\n\
    \x20 connect-cli submit help\n\
    \x20 connect-cli submit passive -timeout 1m alice\n\
    \x20 connect-cli submit --json info alice")]
pub struct Submit {
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

/// How a command ended.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) schema: u32,
    pub(super) command: &'a [String],
    pub(super) ok: bool,
    /// The answer, each line in words.
    pub(super) lines: &'a [Vec<String>],
    /// Code and arguments, if the command failed.
    pub(super) failure: Option<&'a [String]>,
    /// What came of it, if that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<super::wait::Outcome>,
}

impl Submit {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked or the command fails.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        command(context, self.words, self.json, Pace::Patient).await
    }
}

/// Gives the service a command and prints the answer.
///
/// # Errors
/// [`Error`] if the service cannot be asked or the command fails.
pub async fn command(
    context: &mut Context,
    words: Vec<String>,
    json: bool,
    pace: Pace,
) -> Result<Exit, Error> {
    let mut control = context.control(pace).await?;
    control.ask(Request::Submit {
        words: words.clone(),
    })?;
    let mut lines = Vec::new();
    let failure = loop {
        match control.reply().await {
            Ok(Reply::Line(line)) if json => lines.push(line),
            // Whoever waits for a challenge needs it now and not when the command has ended.
            Ok(Reply::Line(line)) => context.out.prompt_line(&token::join(line))?,
            Ok(Reply::Done {}) => break None,
            Ok(Reply::Failed(words)) => break Some(words),
            Ok(_) => return Err(ControlError::Unexpected.into()),
            // A service that was told to quit may do so before its answer is on its way.
            Err(ControlError::Lost) if is_quit(&words) => break None,
            Err(error) => return Err(error.into()),
        }
    };
    if json {
        context.out.json(&Report {
            schema: SCHEMA,
            command: &words,
            ok: failure.is_none(),
            lines: &lines,
            failure: failure.as_deref(),
            outcome: None,
        })?;
    }
    match failure {
        None => Ok(Exit::Success),
        Some(words) => Err(Error::Failed(words)),
    }
}

/// Whether the command asks the service to end.
fn is_quit(words: &[String]) -> bool {
    words
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case("quit"))
}
