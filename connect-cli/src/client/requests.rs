// SPDX-License-Identifier: GPL-3.0-or-later
//! Requests that several commands make.

use connect_ipc::changes::Changes;
use connect_ipc::control::{Reply, Request};

use super::connection::{Control, ControlError};

/// Sends a command and reads its replies, up to the last. Gives each line of the answer to `line`,
/// and returns the service's words if the command failed.
pub(crate) async fn command<E: From<ControlError>>(
    control: &mut Control,
    request: Request,
    mut line: impl FnMut(Vec<String>) -> Result<(), E>,
) -> Result<Option<Vec<String>>, E> {
    control.ask(request)?;
    loop {
        match control.reply().await? {
            Reply::Line(words) => line(words)?,
            Reply::Done {} => return Ok(None),
            Reply::Failed(words) => return Ok(Some(words)),
            _ => return Err(ControlError::Unexpected.into()),
        }
    }
}

/// Asks which peers are not as the database in use has them.
pub(crate) async fn changes(control: &mut Control) -> Result<Changes, ControlError> {
    control.ask(Request::Changes {})?;
    match control.reply().await? {
        Reply::Changes(changes) => Ok(*changes),
        _ => Err(ControlError::Unexpected),
    }
}
