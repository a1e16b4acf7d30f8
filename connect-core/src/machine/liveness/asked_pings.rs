// SPDX-License-Identifier: GPL-3.0-or-later
//! Which operators wait for the result of a ping.

use std::collections::BTreeMap;

use connect_ipc::PeerId;

use crate::machine::input::ConnectionId;
use crate::machine::requester::OperatorRequest;

/// Who waits for the next result of which peer. The limits for requests also limit how many wait.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedPings(BTreeMap<PeerId, Vec<OperatorRequest>>);

impl AskedPings {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// One more waits.
    pub(super) fn add(&mut self, peer: PeerId, request: OperatorRequest) {
        self.0.entry(peer).or_default().push(request);
    }

    /// Removes and returns those who wait for this peer.
    pub(super) fn take(&mut self, peer: PeerId) -> Vec<OperatorRequest> {
        self.0.remove(&peer).unwrap_or_default()
    }

    /// Removes and returns all who wait.
    pub(super) fn take_all(&mut self) -> Vec<OperatorRequest> {
        let all = std::mem::take(&mut self.0);
        all.into_values().flatten().collect()
    }

    /// An operator has disconnected.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.0.retain(|_, waiting| {
            waiting.retain(|request| request.connection != connection);
            !waiting.is_empty()
        });
    }
}
