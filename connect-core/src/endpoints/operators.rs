// SPDX-License-Identifier: GPL-3.0-or-later
//! Who is connected to the control and observers' sockets, which of their requests are unanswered,
//! and when all are answered.
//!
//! ```text
//!   Arrival --> core's loop --> [Operators] --> each operator's Sender
//!                                    |
//!                                Observers
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connect_ipc::control::{Answer, Envelope, PeerRows, Reply, Request};
use connect_ipc::event::Event;
use connect_ipc::foreign::{Foreign, ForeignWords};
use connect_ipc::frame::EncodedReply;
use connect_ipc::scripts::ScriptKind;
use connect_runtime::clock;
use connect_runtime::transport::Sender;
use tokio::sync::mpsc;

use crate::endpoints::access::Owner;
use crate::endpoints::arrivals::{Arrival, Guest};
use crate::endpoints::gate::Gate;
use crate::endpoints::limits;
use crate::endpoints::observers::Observers;
use crate::endpoints::unanswered::Pass;
use crate::machine::{ConnectionId, Output};

/// Somebody on one of the sockets.
#[derive(Debug)]
struct Operator {
    sender: Sender,
    /// Who it is, for the log and for observers.
    name: String,
    guest: Guest,
    /// Requests without a final reply so far. Those for events never have one.
    unanswered: Vec<Owed>,
    /// Whether no more requests will come, so that the connection is closed after the last answer.
    asked_all: bool,
}

/// A request without a final reply so far.
#[derive(Debug)]
struct Owed {
    id: u64,
    /// `None` once a subscription has been sent the state.
    pass: Option<Pass>,
}

impl Operator {
    /// A reply to the request of this number is sent.
    fn replied(&mut self, id: u64, reply: &Reply) {
        let of_id = |owed: &Owed| owed.id == id;
        // The operator chooses the numbers, also one that a subscription has already.
        let waiting = self
            .unanswered
            .iter()
            .position(|it| of_id(it) && it.pass.is_some());
        let Some(at) = waiting.or_else(|| self.unanswered.iter().position(of_id)) else {
            return;
        };
        if reply.is_final() {
            self.unanswered.remove(at);
        } else if matches!(reply, Reply::Live { .. })
            && let Some(owed) = self.unanswered.get_mut(at)
        {
            owed.pass = None;
        }
    }
}

/// All operators and observers that are connected.
#[derive(Debug)]
pub struct Operators {
    gate: Arc<Gate>,
    /// The way to core's loop, for those who have read what they were sent.
    drained: mpsc::Sender<Arrival>,
    connected: HashMap<ConnectionId, Operator>,
    /// How many of them will send no more requests.
    leaving: usize,
    /// The connections that want events.
    pub observers: Observers,
}

/// The result of sending outputs to operators and observers.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// How many events were left out for slow observers.
    pub dropped: u64,
    /// Those who were sent rows and have room for more.
    pub drained: Vec<ConnectionId>,
}

impl Operators {
    /// Nobody is connected yet.
    pub(super) fn new(gate: Arc<Gate>, drained: mpsc::Sender<Arrival>) -> Self {
        Operators {
            gate,
            drained,
            connected: HashMap::new(),
            leaving: 0,
            observers: Observers::default(),
        }
    }

    /// A new one.
    pub(super) fn insert(&mut self, connection: ConnectionId, sender: Sender, guest: Guest) {
        let client = guest.client;
        tracing::debug!(%client, "an operator has connected");
        let operator = Operator {
            sender,
            name: client.to_string(),
            guest,
            unanswered: Vec::new(),
            asked_all: false,
        };
        self.connected.insert(connection, operator);
    }

    /// One of them sends a request. Returns its name and user; `None` if it has disconnected
    /// already.
    pub fn asks(
        &mut self,
        connection: ConnectionId,
        envelope: &Envelope,
        pass: Pass,
    ) -> Option<(&str, Option<u32>)> {
        let operator = self.connected.get_mut(&connection)?;
        operator.unanswered.push(Owed {
            id: envelope.id,
            pass: Some(pass),
        });
        let client = &operator.name;
        let user = operator.guest.client.uid;
        match &envelope.request {
            Request::Submit { words } => {
                tracing::info!(client, _user = user, "command: {}", ForeignWords(words));
            }
            Request::RunScript { peer, script } => {
                let peer = Foreign::new(peer);
                let script = ScriptKind::from(*script).name();
                tracing::info!(client, _user = user, %peer, script, "request to run a script");
            }
            Request::ApplyChanges {} => {
                tracing::info!(
                    client,
                    _user = user,
                    "request to apply changes of the database"
                );
            }
            Request::Reload {} => {
                tracing::info!(client, _user = user, "request to read the database");
                self.gate
                    .charge(operator.guest.owner, limits::BYTES_A_RELOAD);
            }
            _ => {}
        }
        Some((&operator.name, user))
    }

    /// Whether the client at `connection` is of a user who is limited.
    pub fn is_limited(&self, connection: ConnectionId) -> bool {
        let operator = self.connected.get(&connection);
        operator.is_some_and(|operator| operator.guest.owner != Owner::Trusted)
    }

    /// A request of the client at `connection` took the processor time `work`.
    pub fn worked(&self, connection: ConnectionId, work: Duration) {
        if let Some(operator) = self.connected.get(&connection) {
            self.gate
                .charge(operator.guest.owner, limits::bytes_for(work));
        }
    }

    /// The client at `connection` has sent a request that is refused, or a malformed message.
    pub fn refuse(&mut self, connection: ConnectionId, answer: Answer, pass: Pass) {
        if let Some(operator) = self.connected.get_mut(&connection) {
            operator.unanswered.push(Owed {
                id: answer.id,
                pass: Some(pass),
            });
            self.answer(vec![(connection, answer)]);
        }
    }

    /// One of them will send no more requests.
    pub fn asked_all(&mut self, connection: ConnectionId) {
        if let Some(operator) = self.connected.get_mut(&connection)
            && !std::mem::replace(&mut operator.asked_all, true)
        {
            self.leaving += 1;
        }
    }

    /// A connection has ended. Returns whether it was one of them.
    pub fn forget(&mut self, connection: ConnectionId) -> bool {
        let Some(operator) = self.connected.remove(&connection) else {
            return false;
        };
        self.leaving -= usize::from(operator.asked_all);
        self.observers.forget(connection);
        true
    }

    /// Sends outputs to them, in their order. Consecutive answers and events are sent together.
    pub fn tell(&mut self, outputs: Vec<Output>) -> Sent {
        let mut sent = Sent::default();
        let (mut answers, mut events) = (Vec::new(), Vec::new());
        for output in outputs {
            if !matches!(output, Output::Event(_)) {
                sent.dropped += self.publish(&std::mem::take(&mut events));
            }
            if !matches!(output, Output::Answer(..)) {
                self.answer(std::mem::take(&mut answers));
            }
            match output {
                Output::Answer(connection, answer) => answers.push((connection, answer)),
                Output::Event(event) => events.push(event),
                Output::Rows { to, rows, until } => {
                    for (connection, id) in &to {
                        self.observers.has_rows(*connection, *id, &until);
                    }
                    sent.drained.extend(self.send_rows(to, &rows));
                }
                Output::Subscribe {
                    connection,
                    request,
                    filter,
                    told,
                } => {
                    if let Some(operator) = self.connected.get(&connection) {
                        let owner = operator.guest.owner;
                        let observers = &mut self.observers;
                        observers.subscribe(connection, owner, request, filter, told);
                    }
                }
                _ => {}
            }
        }
        self.answer(answers);
        sent.dropped += self.publish(&events);
        self.gate.relieve();
        sent
    }

    /// Sends rows, which are encoded once. Returns those who have room for more now; core's loop is
    /// told later when the others have read enough.
    fn send_rows(&self, to: Vec<(ConnectionId, u64)>, rows: &PeerRows) -> Vec<ConnectionId> {
        let encoded = match EncodedReply::peers(rows) {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(%error, "cannot encode rows of the table of peers");
                return Vec::new();
            }
        };
        let mut at_once = Vec::new();
        for (connection, id) in to {
            let Some(operator) = self.connected.get(&connection) else {
                continue;
            };
            let sender = &operator.sender;
            if let Err(error) = sender.put_reply(id, &encoded) {
                self.gate.cannot_send(operator.guest.client, &error);
            }
            sender.flush();
            if sender.is_drained() {
                at_once.push(connection);
                continue;
            }
            let (sender, drained) = (sender.clone(), self.drained.clone());
            tokio::spawn(async move {
                if sender.drained().await {
                    // A closed channel means that core is ending.
                    let _ = drained.send(Arrival::Drained(connection)).await;
                }
            });
        }
        at_once
    }

    /// Sends answers to their clients.
    fn answer(&mut self, answers: Vec<(ConnectionId, Answer)>) {
        let mut flushing: Option<(ConnectionId, Sender)> = None;
        for (connection, answer) in answers {
            // Many answers in a row are usually for the same client.
            if let Some((_, sender)) = flushing.take_if(|(last, _)| *last != connection) {
                sender.flush();
            }
            let Some(operator) = self.connected.get_mut(&connection) else {
                continue;
            };
            operator.replied(answer.id, &answer.reply);
            let before = operator.sender.backlog();
            if let Err(error) = operator.sender.put(&answer) {
                self.gate.cannot_send(operator.guest.client, &error);
            }
            let bytes = operator.sender.backlog().saturating_sub(before);
            self.gate.charge(operator.guest.owner, bytes);
            if flushing.is_none() {
                flushing = Some((connection, operator.sender.clone()));
            }
        }
        if let Some((_, sender)) = flushing {
            sender.flush();
        }
    }

    /// Those who will send no more requests and have all their answers.
    #[must_use]
    pub fn satisfied(&self) -> Vec<ConnectionId> {
        if self.leaving == 0 {
            return Vec::new();
        }
        let satisfied = |operator: &Operator| operator.asked_all && operator.unanswered.is_empty();
        let all = self.connected.iter();
        all.filter_map(|(id, operator)| satisfied(operator).then_some(*id))
            .collect()
    }

    /// Sends events to all who want them. Returns how many were left out.
    fn publish(&mut self, events: &[Event]) -> u64 {
        if events.is_empty() {
            return 0;
        }
        let connected = &self.connected;
        let sender = |of| connected.get(&of).map(|operator| &operator.sender);
        self.observers.publish(events, clock::now(), sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::access::Access;
    use crate::endpoints::observers::tests::an_operator;
    use crate::options::CoreOnlyOptions;
    use clap::Parser as _;
    use connect_ipc::hello::{Hello, Role};
    use connect_runtime::transport::Client;
    use tokio::sync::Semaphore;

    /// Nobody yet, and what says who has read what it was sent.
    fn nobody() -> (Operators, mpsc::Receiver<Arrival>) {
        let options = CoreOnlyOptions::parse_from(["connect-core"]).core;
        let access = Arc::new(Access::new(&options).unwrap());
        let (drained, arrivals) = mpsc::channel(1);
        (
            Operators::new(Arc::new(Gate::new(access, Hello::new(Role::Core))), drained),
            arrivals,
        )
    }

    fn guest(client: Client) -> Guest {
        Guest {
            client,
            owner: Owner::Other(client.uid),
        }
    }

    /// What goes with a request.
    fn pass(permits: &Arc<Semaphore>) -> Pass {
        Pass::new(Arc::clone(permits).try_acquire_owned().unwrap(), None)
    }

    #[tokio::test]
    async fn a_connection_may_ask_again_with_the_answer_to_just_this_request() {
        let (_there, client, _receiver, sender) = an_operator().await;
        let connection = ConnectionId(1);
        let (mut operators, _arrivals) = nobody();
        operators.insert(connection, sender, guest(client));
        let permits = Arc::new(Semaphore::new(3));
        for request in [
            Request::Events(Default::default()),
            Request::Status {},
            Request::Status {},
        ] {
            // The operator numbers all alike.
            let envelope = Envelope { id: 7, request };
            operators
                .asks(connection, &envelope, pass(&permits))
                .unwrap();
        }
        let mut answer = |reply| operators.answer(vec![(connection, Answer { id: 7, reply })]);
        answer(Reply::Line(Vec::new()));
        assert_eq!(permits.available_permits(), 0, "more lines may come");
        answer(Reply::Live { seq: 1 });
        assert_eq!(permits.available_permits(), 1);
        answer(Reply::Done {});
        answer(Reply::Done {});
        assert_eq!(permits.available_permits(), 3);
        let refused = Answer {
            id: 0,
            reply: Reply::Error(String::new()),
        };
        operators.refuse(connection, refused, pass(&permits));
        assert_eq!(permits.available_permits(), 3);
        let envelope = Envelope {
            id: 8,
            request: Request::Status {},
        };
        operators
            .asks(connection, &envelope, pass(&permits))
            .unwrap();
        operators.forget(connection);
        assert_eq!(permits.available_permits(), 3);
    }

    #[tokio::test]
    async fn only_users_who_are_not_trusted_are_limited() {
        let (_there, client, _receiver, sender) = an_operator().await;
        let (mut operators, _arrivals) = nobody();
        let owners = [Owner::Trusted, Owner::Other(client.uid), Owner::Other(None)];
        for (number, owner) in (1..).zip(owners) {
            let connection = ConnectionId(number);
            operators.insert(connection, sender.clone(), Guest { client, owner });
            assert_eq!(operators.is_limited(connection), owner != Owner::Trusted);
        }
        assert!(!operators.is_limited(ConnectionId(9)), "it has gone");
    }

    #[tokio::test]
    async fn who_has_asked_all_is_satisfied_by_the_last_answer_and_not_before() {
        let (_there, client, _receiver, sender) = an_operator().await;
        let connection = ConnectionId(1);
        let (mut operators, _arrivals) = nobody();
        operators.insert(connection, sender, guest(client));
        let ask = |id| Envelope {
            id,
            request: Request::Status {},
        };
        let permits = Arc::new(Semaphore::new(3));
        for id in [1, 2] {
            let pass = pass(&permits);
            let (name, user) = operators.asks(connection, &ask(id), pass).unwrap();
            assert_eq!(user, client.uid);
            assert!(name.starts_with("uid "), "{name}");
        }
        assert_eq!(
            operators.asks(ConnectionId(2), &ask(1), pass(&permits)),
            None
        );
        let answer = |id, reply| vec![(connection, Answer { id, reply })];
        operators.answer(answer(1, Reply::Done {}));
        operators.asked_all(connection);
        operators.asked_all(connection);
        assert_eq!(operators.satisfied(), []);
        operators.answer(answer(2, Reply::Line(Vec::new())));
        assert_eq!(operators.satisfied(), [], "more lines may come");
        operators.answer(answer(2, Reply::Done {}));
        assert_eq!(operators.satisfied(), [connection]);
        assert!(operators.forget(connection));
        assert!(!operators.forget(connection));
        assert_eq!(operators.satisfied(), []);
    }
}
