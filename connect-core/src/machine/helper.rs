// SPDX-License-Identifier: GPL-3.0-or-later
//! A helper's connection as the machine sees it: there is at most one helper of each kind.

use connect_ipc::control::HelperStatus;

use super::input::ConnectionId;

/// A helper that is connected, or is to come.
#[derive(Debug, Default)]
pub(super) struct Helper {
    connection: Option<ConnectionId>,
    /// For operators.
    pub(super) status: HelperStatus,
    /// Whether it has said what it remembers and was told what it needs.
    ready: bool,
}

impl Helper {
    /// A helper has connected. Gives back the connection of the one before, which is to be closed.
    pub(super) fn connected(
        &mut self,
        connection: ConnectionId,
        status: HelperStatus,
    ) -> Option<ConnectionId> {
        self.status = HelperStatus {
            connections: self.status.connections + 1,
            ..status
        };
        self.ready = false;
        self.connection.replace(connection)
    }

    /// A connection has ended. Gives whether it was this helper's.
    pub(super) fn lost(&mut self, connection: ConnectionId) -> bool {
        if self.connection != Some(connection) {
            return false;
        }
        *self = Helper {
            status: HelperStatus {
                connections: self.status.connections,
                ..HelperStatus::default()
            },
            ..Helper::default()
        };
        true
    }

    /// Whether a message that came over `connection` counts: not if a newer helper has connected.
    pub(super) fn is_at(&self, connection: ConnectionId) -> bool {
        self.connection == Some(connection)
    }

    /// It has said what it remembers.
    pub(super) fn set_ready(&mut self) {
        self.ready = true;
    }

    /// Where to send messages, once it is ready.
    pub(super) fn ready(&self) -> Option<ConnectionId> {
        self.connection.filter(|_| self.ready)
    }
}
