// SPDX-License-Identifier: GPL-3.0-or-later
//! The state of the service and its peers, which comes in several replies.

use connect_ipc::control::{PeerStatus, Reply, ServiceStatus};

use super::connection::ControlError;

/// The replies to a request for the state, so far.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    service: Option<ServiceStatus>,
    peers: Vec<PeerStatus>,
}

impl Collected {
    /// Adds one reply. Returns whether it was the last.
    pub(crate) fn take(&mut self, reply: Reply) -> Result<bool, ControlError> {
        match reply {
            Reply::Service(status) => self.service = Some(*status),
            Reply::Peers(some) => self.peers.extend(some.list),
            Reply::Done {} => return Ok(true),
            _ => return Err(ControlError::Unexpected),
        }
        Ok(false)
    }

    /// The whole state.
    pub(crate) fn finish(mut self) -> Result<(ServiceStatus, Vec<PeerStatus>), ControlError> {
        self.peers.sort_by(|left, right| left.name.cmp(&right.name));
        let service = self.service.ok_or(ControlError::Unexpected)?;
        Ok((service, self.peers))
    }
}
