// SPDX-License-Identifier: GPL-3.0-or-later
//! `reload`: has the service read its database now.

use clap::Args;
use connect_ipc::control::{Reply, Request};
use connect_runtime::exit::Exit;

use super::submit;
use super::wait;
use crate::connection::ControlError;
use crate::context::{Context, Pace};
use crate::error::Error;
use crate::output::SCHEMA;

/// Make the service read its peer database now
#[derive(Args, Debug)]
#[command(after_help = "\
    The service looks for a new database every second by itself; this is for scripts that \
    want to know what came of it: with --wait the command ends when the database is taken up \
    (exit code 0) or found faulty (65), or when --timeout is over (124).\n\n\
    Examples:\n\
    \x20 connect-cli reload --wait")]
pub struct Reload {
    /// Print JSON, once the command has ended.
    #[arg(long)]
    json: bool,
    /// Wait for what comes of it, no longer than --timeout if that is given.
    #[arg(long)]
    wait: bool,
}

impl Reload {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Error`] if the service cannot be asked or the database is faulty.
    pub async fn run(self, context: &mut Context) -> Result<Exit, Error> {
        if self.wait {
            return wait::reload(context, self.json).await;
        }
        let mut control = context.control(Pace::Prompt).await?;
        control.ask(Request::Reload {})?;
        let failure = match control.reply().await? {
            Reply::Done {} => None,
            Reply::Failed(words) => Some(words),
            _ => return Err(ControlError::Unexpected.into()),
        };
        if self.json {
            context.out.json(&submit::Report {
                schema: SCHEMA,
                command: &["reload".to_owned()],
                ok: failure.is_none(),
                lines: &[],
                failure: failure.as_deref(),
                outcome: None,
            })?;
        }
        failure.map_or(Ok(Exit::Success), |words| Err(Error::Failed(words)))
    }
}
