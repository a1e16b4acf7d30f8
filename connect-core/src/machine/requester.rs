// SPDX-License-Identifier: GPL-3.0-or-later
//! Who asked for something.

use super::input::ConnectionId;

/// Who asked for something and is to be told how it ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Requester {
    /// A job of our service, by the server's identifier.
    Job(String),
    /// A request on the control socket.
    Operator {
        /// The connection.
        connection: ConnectionId,
        /// The request's number.
        request: u64,
    },
    /// The start-up list of peers.
    Startup,
    /// A knock.
    Knock,
}
