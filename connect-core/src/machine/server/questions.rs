// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers that the server is still to be asked about.

use connect_ipc::PeerId;

/// Peers to be asked about.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Questions {
    /// The last is asked about first.
    pub(super) peers: Vec<PeerId>,
    pub(super) unanswered: usize,
}

impl Questions {
    /// A peer is to be asked about.
    pub(in crate::machine) fn add(&mut self, peer: PeerId) {
        self.peers.push(peer);
    }

    /// Those added first are asked about first.
    pub(super) fn first_added_first(&mut self) {
        self.peers.reverse();
    }

    /// An answer has come.
    pub(super) fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// The server is gone.
    pub(super) fn clear(&mut self) {
        *self = Questions::default();
    }
}
