// SPDX-License-Identifier: GPL-3.0-or-later
//! Requests that several commands make.

use connect_ipc::changes::Changes;
use connect_ipc::control::{PeerStatus, Reply, Request, ServiceStatus};

use super::connection::{Control, ControlError};
use super::state::Collected;
use super::subscription::Subscription;

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

/// Asks for the state on a connection that also receives events.
pub(crate) async fn status_again(
    subscription: &mut Subscription,
) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
    let request = subscription.ask(Request::Status {})?;
    let mut state = Collected::default();
    while !state.take(subscription.reply_to(request).await?)? {}
    state.finish()
}

/// Asks the service for its state and its peers, sorted by name.
pub(crate) async fn status(
    control: &mut Control,
) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
    control.ask(Request::Status {})?;
    let mut state = Collected::default();
    while !state.take(control.reply().await?)? {}
    state.finish()
}
