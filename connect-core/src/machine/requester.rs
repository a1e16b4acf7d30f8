// SPDX-License-Identifier: GPL-3.0-or-later
//! Who requested something.

use connect_ipc::PeerId;
use connect_ipc::scripts::InterfaceScript;

use super::input::ConnectionId;

/// Who requested something and gets the result.
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
    /// The next attempt for a peer that did not answer (key `when-dead`).
    Revival,
    /// A knock.
    Knock,
    /// A lookup that has found another address for this peer.
    Lookup(PeerId),
    /// The change of this peer, which is being applied.
    Change(String),
}

/// A request on the control socket that is answered step by step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OperatorRequest {
    /// The connection.
    pub(super) connection: ConnectionId,
    /// The request's number.
    pub(super) request: u64,
}

/// An operator's request for a script of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ScriptRequest {
    /// Who gets the result.
    pub(super) by: OperatorRequest,
    /// The peer's name.
    pub(super) peer: String,
    /// Which script.
    pub(super) script: InterfaceScript,
    /// What to do with it.
    pub(super) purpose: ScriptPurpose,
}

/// What an operator requests of a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ScriptPurpose {
    /// To run it.
    Run,
    /// To know what would be run.
    Show,
}
