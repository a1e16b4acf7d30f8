// SPDX-License-Identifier: GPL-3.0-or-later
//! Our own sockets, and the helpers, operators and observers that are connected to them.
//!
//! ```text
//!   [listeners] --Arrival-----------+
//!   [clients] --Arrival--> 16 slots +--> [Endpoints::admit] --Input--> machine
//!   machine --Output--> [Endpoints::send] --> each connection's Sender
//! ```

mod accepted;
pub mod access;
pub(crate) mod arrivals;
mod children;
mod clients;
mod complaints;
mod directory;
mod door;
pub mod doors;
mod gate;
mod limits;
pub mod listeners;
pub mod observers;
pub mod operators;
mod pacer;
mod places;
mod rate;
mod refusals;
mod socket_file;
mod unanswered;

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter;
use std::time::Duration;

use connect_ipc::hello::Role;
use connect_ipc::observers::ObserverCounts;
use connect_ipc::pinger::ToPinger;
use connect_runtime::transport::{SendError, Sender};
use serde::Serialize;

use crate::machine::{ConnectionId, Input, Output};
use arrivals::Arrival;
use doors::{Doors, Queues};
use limits::SLOTS;
use operators::{Operators, Sent};
use refusals::Refusals;

/// How many arrivals of helpers are taken in one turn before their results are sent: enough for
/// large batches, and few enough that many from one side do not delay the others.
const ARRIVALS_PER_TURN: usize = 256;

/// How many arrivals of operators and observers are taken in one turn.
pub(crate) const CLIENTS_PER_TURN: usize = SLOTS;

/// How long these may take in one turn; the rest waits for the next turns. Most requests take some
/// microseconds, but an answer may have a mebibyte.
pub(crate) const CLIENTS_TIME: Duration = Duration::from_millis(1);

/// Everybody who is connected.
#[derive(Debug)]
pub struct Endpoints {
    /// The sockets themselves.
    pub(crate) doors: Doors,
    /// Whether the file of one of them is missing.
    lost: bool,
    pub(crate) queues: Queues,
    helpers: HashMap<ConnectionId, HelperConnection>,
    /// Second helpers that were refused, by kind.
    refusals: Refusals,
    operators: Operators,
    /// The counts of observers as the machine knows them.
    counts: ObserverCounts,
}

/// A helper that is connected.
#[derive(Debug)]
struct HelperConnection {
    role: Role,
    pid: Option<i32>,
    /// `None` if nothing can be sent to it any more.
    sender: Option<Sender>,
}

/// Outputs that wait for the end of the turn, so that many for one connection cost one write.
#[derive(Debug, Default)]
pub struct Batch {
    /// What is for operators and observers, in its order.
    operators: Vec<Output>,
    helpers: Vec<ConnectionId>,
}

impl Endpoints {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(doors: Doors, queues: Queues) -> Self {
        let operators = Operators::new(doors.gate(), doors.requests());
        Endpoints {
            doors,
            lost: false,
            queues,
            helpers: HashMap::new(),
            refusals: Refusals::default(),
            operators,
            counts: ObserverCounts::default(),
        }
    }

    /// Whether a socket's file was found to be missing since the last call.
    pub(crate) const fn take_lost(&mut self) -> bool {
        std::mem::replace(&mut self.lost, false)
    }

    /// What else has arrived from helpers by now, up to a limit.
    pub fn more_arrivals(&mut self) -> Vec<Arrival> {
        let arrivals = &mut self.queues.arrivals;
        let helpers = iter::from_fn(|| arrivals.try_recv().ok());
        helpers.take(ARRIVALS_PER_TURN).collect()
    }

    /// What has arrived next from operators and observers, if anything has.
    pub(crate) fn next_of_clients(&mut self) -> Option<Arrival> {
        self.queues.requests.try_recv().ok()
    }

    /// Who is connected to the observers' socket, if the machine does not know it yet.
    pub(crate) fn new_counts(&mut self) -> Option<ObserverCounts> {
        let counts = self.doors.gate().observer_counts();
        let known = std::mem::replace(&mut self.counts, counts);
        (counts != known).then_some(counts)
    }

    /// Takes in an arrival, and returns the input for the machine, if there is one.
    pub fn admit(&mut self, arrival: Arrival) -> Option<Input<'_>> {
        Some(match arrival {
            Arrival::Helper {
                connection,
                role,
                sender,
                status,
            } => {
                let helper = HelperConnection {
                    role,
                    pid: status.pid,
                    sender: Some(sender),
                };
                self.helpers.insert(connection, helper);
                if role == Role::Pinger {
                    Input::PingerConnected { connection, status }
                } else {
                    Input::ScriptsConnected { connection, status }
                }
            }
            Arrival::Pinger(connection, message) => Input::Pinger(connection, message),
            Arrival::Scripts(connection, message) => Input::Scripts(connection, message),
            Arrival::Operator {
                connection,
                sender,
                guest,
            } => {
                self.operators.insert(connection, sender, guest);
                return None;
            }
            Arrival::Refused(connection, answer, pass) => {
                self.operators.refuse(connection, answer, pass);
                return None;
            }
            Arrival::Drained(connection) => Input::Drained(connection),
            Arrival::Request(connection, envelope, pass) => {
                let (by, user) = self.operators.asks(connection, &envelope, pass)?;
                Input::Request {
                    connection,
                    by: Cow::Borrowed(by),
                    user,
                    envelope,
                }
            }
            Arrival::AskedAll(connection) => {
                self.operators.asked_all(connection);
                return None;
            }
            Arrival::Lost => {
                self.lost = true;
                return None;
            }
            Arrival::ChildEnded(run) => Input::ChildEnded(run),
            Arrival::Gone(connection) => {
                let known =
                    self.helpers.remove(&connection).is_some() || self.operators.forget(connection);
                return known.then_some(Input::Gone(connection));
            }
        })
    }

    /// Whether what the requests of this connection take is counted for its user.
    pub(crate) fn is_limited(&self, connection: ConnectionId) -> bool {
        self.operators.is_limited(connection)
    }

    /// A request of this connection took the processor time `work`, whatever the length of its
    /// answer.
    pub(crate) fn worked(&self, connection: ConnectionId, work: Duration) {
        self.operators.worked(connection, work);
    }

    /// Sends an output that is for a connection, at once or with the [`Batch`]; returns any other.
    pub fn send(&mut self, output: Output, batch: &mut Batch) -> Option<Output> {
        match output {
            Output::ToPinger(connection, message) => self.put(connection, &message, batch),
            Output::ToScripts(connection, message) => self.put(connection, &message, batch),
            Output::Refuse(connection) => self.refuse(connection),
            Output::Answer(..)
            | Output::Rows { .. }
            | Output::Event(_)
            | Output::Subscribe { .. } => {
                batch.operators.push(output);
            }
            Output::WatchChild(run, child) => {
                children::watch(run, child.pid, self.doors.arrivals());
            }
            other => return Some(other),
        }
        None
    }

    /// Tells a helper that another of its kind is connected. It closes the connection, and retries
    /// later.
    fn refuse(&mut self, connection: ConnectionId) {
        if let Some(helper) = self.helpers.get_mut(&connection)
            && let Some(sender) = helper.sender.take()
        {
            let role = helper.role;
            if self.refusals.is_to_be_logged(role) {
                tracing::warn!(
                    helper = %role,
                    pid = helper.pid,
                    "refusing a second helper of this kind, which will retry; end one of the two"
                );
            }
            let text = format!("another {role} is connected; end one of the two");
            // It may have gone already. Both kinds of helpers read the same message.
            let _ = sender.send(&ToPinger::Error(text));
        }
    }

    /// Hands a message to a helper's connection.
    fn put<M: Serialize>(&mut self, connection: ConnectionId, message: &M, batch: &mut Batch) {
        let Some(HelperConnection {
            role, sender: slot, ..
        }) = self.helpers.get_mut(&connection)
        else {
            return;
        };
        let Some(sender) = slot else { return };
        match sender.put(message) {
            Ok(()) if batch.helpers.contains(&connection) => {}
            Ok(()) => batch.helpers.push(connection),
            Err(error @ SendError::Frame(_)) => {
                tracing::error!(helper = %role, %error, "cannot send a message");
            }
            // Its reader ends as well; then the machine is told, which logs it.
            Err(SendError::Gone) => *slot = None,
            Err(error @ SendError::Stuck(_)) => {
                tracing::warn!(helper = %role, %error, "cannot send a message");
                *slot = None;
            }
        }
    }

    /// Sends the outputs of the batch.
    pub fn finish(&mut self, batch: Batch) -> Sent {
        for connection in batch.helpers {
            let helper = self.helpers.get(&connection);
            if let Some(sender) = helper.and_then(|helper| helper.sender.as_ref()) {
                sender.flush();
            }
        }
        self.operators.tell(batch.operators)
    }

    /// Closes the connections of operators who send no more requests and have all their answers.
    /// Returns them.
    pub fn close_satisfied(&mut self) -> Vec<ConnectionId> {
        let satisfied = self.operators.satisfied();
        for connection in &satisfied {
            self.operators.forget(*connection);
        }
        satisfied
    }

    /// Whether anybody wants events.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        !self.operators.observers.is_empty()
    }
}
