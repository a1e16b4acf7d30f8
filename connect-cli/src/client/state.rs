// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of the service and its peers, which comes in several replies. Parts that a command
//! does not need are not kept, since there may be 100,000 peers.

use std::time::Duration;

use connect_ipc::control::{PeerStatus, Reply, Request, ServiceStatus};

use super::connection::{Control, ControlError};

/// The shortest time between two readings of the state.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait after a reading that took `took`, so that core and we have most of the time for
/// other work.
pub(crate) fn pause_after(took: Duration) -> Duration {
    INTERVAL.max(took.saturating_mul(5))
}

/// An answer with the state: the service first, then the peers, sorted by name.
#[derive(Debug)]
pub(crate) struct StateReader<'a> {
    control: &'a mut Control,
}

impl<'a> StateReader<'a> {
    /// Asks for the state, and reads the part about the service.
    pub(crate) async fn begin(
        control: &'a mut Control,
    ) -> Result<(Self, ServiceStatus), ControlError> {
        control.ask(Request::Status {})?;
        match control.reply().await? {
            Reply::Service(service) => Ok((StateReader { control }, *service)),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// The next peers; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<PeerStatus>>, ControlError> {
        match self.control.reply().await? {
            Reply::Peers(rows) => Ok(Some(rows.list)),
            Reply::Done {} => Ok(None),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// All peers that are left.
    pub(crate) async fn rest(mut self) -> Result<Vec<PeerStatus>, ControlError> {
        let mut peers = Vec::new();
        while let Some(rows) = self.next().await? {
            peers.extend(rows);
        }
        Ok(peers)
    }
}
