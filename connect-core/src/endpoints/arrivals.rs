// SPDX-License-Identifier: GPL-3.0-or-later
//! What arrives at core's loop from our own sockets.

use std::time::Duration;

use connect_ipc::RunId;
use connect_ipc::control::{Answer, Envelope, HelperStatus};
use connect_ipc::hello::Role;
use connect_ipc::pinger::FromPinger;
use connect_ipc::scripts::FromScripts;
use connect_runtime::closing;
use connect_runtime::fault_log::FaultLog;
use connect_runtime::socket::Socket;
use connect_runtime::transport::{self, Client, Sender};
use interprocess::local_socket::tokio::Listener;
use tokio::time::sleep;

use crate::endpoints::access::Owner;
use crate::endpoints::door::Door;
use crate::endpoints::limits::COMPLAIN_EVERY;
use crate::endpoints::unanswered::Pass;
use crate::machine::ConnectionId;

/// How long to wait when the system lacks something that `accept` needs, such as a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Something from one of the sockets.
#[derive(Debug)]
pub enum Arrival {
    /// A helper has said hello.
    Helper {
        /// The connection.
        connection: ConnectionId,
        /// What it is.
        role: Role,
        /// How to talk to it.
        sender: Sender,
        /// For operators.
        status: HelperStatus,
    },
    /// A message of the pinger.
    Pinger(ConnectionId, FromPinger),
    /// A message of the script helper.
    Scripts(ConnectionId, FromScripts),
    /// An operator has said hello.
    Operator {
        /// The connection.
        connection: ConnectionId,
        /// How to talk to it.
        sender: Sender,
        /// Who it is.
        guest: Guest,
    },
    /// A request of an operator.
    Request(ConnectionId, Envelope, Pass),
    /// A message of an operator that is no request, or one that is refused, and its answer.
    Refused(ConnectionId, Answer, Pass),
    /// An operator has read what it was sent.
    Drained(ConnectionId),
    /// An operator will send no more requests, but still reads answers.
    AskedAll(ConnectionId),
    /// A connection has ended.
    Gone(ConnectionId),
    /// The file of a socket was removed or replaced.
    Lost,
    /// The child of a run has ended.
    ChildEnded(RunId),
}

/// Who is connected, as far as core's loop needs it.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// The process.
    pub(super) client: Client,
    /// Whose it is.
    pub(super) owner: Owner,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: Listener,
    pub(super) door: Door,
    /// Whether no other process has this socket too.
    pub(super) ours: bool,
    /// What keeps it from accepting, logged once a minute.
    faults: FaultLog,
}

impl Listening {
    pub(super) const fn new(listener: Listener, door: Door, ours: bool) -> Self {
        Listening {
            listener,
            door,
            ours,
            faults: FaultLog::repeating(COMPLAIN_EVERY),
        }
    }

    /// Accepts the next connection, as soon as the system can, and by the door of strangers as
    /// soon as few enough of their connections wait to be closed.
    pub(super) async fn accept(&mut self) -> (Socket, Client) {
        loop {
            if self.door == Door::Observers {
                closing::uncrowded().await;
            }
            match transport::accept(&self.listener).await {
                Ok(accepted) => return accepted,
                Err(error) if self.faults.is_new(&error.to_string()) => {
                    tracing::warn!(%error, "cannot accept a connection; retrying");
                }
                Err(_) => {}
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.ours {
            let Listener::UdSocket(listener) = &self.listener;
            closing::close_listener(listener);
        }
    }
}
