// SPDX-License-Identifier: GPL-3.0-or-later
//! Operators and observers connect here, each within its limits.
//!
//! ```text
//!   operator <--> [connection task] --Arrival--> 16 slots --> core's loop
//!   operator <------------------ Sender -------------------- core's loop
//! ```
//!
//! A task reads the next message when it has found a slot for the last one, an earlier request is
//! answered, the answers are read, and its user may send another message. So clients can take only
//! a fixed part of each turn of the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::control::{Answer, Envelope, Reply};
use connect_ipc::frame::{self, FrameError};
use connect_ipc::hello::{Hello, Role};
use connect_runtime::socket::Socket;
use connect_runtime::transport::{self, HELLO_LIMIT, Limits, ReceiveError, Receiver, Sender};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::endpoints::arrivals::{Arrival, Guest, Listening};
use crate::endpoints::door::Door;
use crate::endpoints::gate::{Gate, Place};
use crate::endpoints::limits;
use crate::endpoints::places::NoPlace;
use crate::endpoints::unanswered::Pass;
use crate::machine::ConnectionId;

/// How long a connection that is about to be closed may wait for answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A connection of which only the user is known yet.
struct Arrived {
    socket: Socket,
    door: Door,
    connection: ConnectionId,
    guest: Guest,
}

/// Accepts connections for ever. `numbers` are those of the connections of all doors.
pub(super) async fn accept_all(
    mut listening: Listening,
    gate: Arc<Gate>,
    numbers: Arc<AtomicU64>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let door = listening.door;
    for accepted in 1_usize.. {
        let (socket, client) = listening.accept().await;
        let connection = ConnectionId(numbers.fetch_add(1, Ordering::Relaxed));
        let guest = Guest {
            client,
            owner: gate.access.owner(client),
        };
        match gate.place(door, connection, guest.owner) {
            Ok(place) => {
                let arrived = Arrived {
                    socket,
                    door,
                    connection,
                    guest,
                };
                let (gate, arrivals) = (Arc::clone(&gate), arrivals.clone());
                tokio::spawn(async move {
                    serve(arrived, &gate, &place, &arrivals).await;
                    // A closed channel means that core is ending.
                    let _ = arrivals.send(Arrival::Gone(connection)).await;
                    drop(place);
                });
            }
            Err(why) => refuse(socket, &gate, &guest, why),
        }
        if accepted.is_multiple_of(limits::ACCEPTED) {
            yield_now().await;
        }
    }
}

/// Tells a client that there is no place for it, if its socket has room for that. This costs so
/// little that a flood of connections delays nobody else.
fn refuse(socket: Socket, gate: &Gate, guest: &Guest, why: NoPlace) {
    gate.charge(guest.owner, limits::BYTES_A_MESSAGE);
    gate.complain(guest.client, || format!("refused: {why}"));
    let mut words = Vec::new();
    let hello = frame::encode(&gate.hello, &mut words);
    // Both are short.
    let _ = hello.and_then(|()| frame::encode(&busy(why), &mut words));
    transport::dismiss(socket, &words);
}

/// Tells a client that there is no place for it any more, and closes the connection.
fn no_place(receiver: &Receiver, sender: &Sender, why: NoPlace) {
    // It may have gone already.
    let _ = sender.put(&busy(why));
    sender.flush();
    receiver.close();
}

fn busy(why: NoPlace) -> Answer {
    Answer {
        id: 0,
        reply: Reply::Busy {
            why: why.to_string(),
        },
    }
}

fn limits_of(door: Door, gate: &Gate, guest: &Guest) -> Limits {
    Limits {
        backlog: match door {
            Door::Observers => limits::OBSERVER_BACKLOG,
            Door::Operators | Door::Helpers => limits::OPERATOR_BACKLOG,
        },
        account: gate.share(guest),
        line: limits::HELLO,
    }
}

/// Serves a connection until it ends, and closes it.
async fn serve(arrived: Arrived, gate: &Gate, place: &Place, arrivals: &mpsc::Sender<Arrival>) {
    let Arrived {
        socket,
        door,
        connection,
        guest,
    } = arrived;
    let limits = limits_of(door, gate, &guest);
    let (mut receiver, sender) = transport::split_within(socket, limits);
    let mut sender = Some(sender);
    let conversation = Conversation {
        door,
        connection,
        guest: &guest,
        gate,
        arrivals,
        looking: Arc::new(Semaphore::new(limits::LOOKING)),
        commanding: Arc::new(Semaphore::new(limits::COMMANDING)),
    };
    let held = tokio::select! {
        biased;
        () = place.displaced() => {
            if let Some(sender) = &sender {
                no_place(&receiver, sender, NoPlace::Displaced);
            }
            gate.complain(guest.client, || NoPlace::Displaced.to_string());
            Ok(())
        }
        held = conversation.hold(&mut receiver, &mut sender) => held,
    };
    // If nobody takes requests any more, core is ending. That is no fault of the client.
    let held = if arrivals.is_closed() { Ok(()) } else { held };
    if let Err(error) = held {
        let why = format!("{error:#}");
        gate.complain(guest.client, || why.clone());
        if let Some(sender) = &sender {
            // It may have gone already.
            let _ = sender.put(&error_answer(why));
            sender.flush();
        }
    }
    receiver.close();
}

/// Names the limit of this connection, if it was exceeded.
fn too_long(error: ReceiveError, limit: usize) -> anyhow::Error {
    match error {
        ReceiveError::Frame(FrameError::TooLong { .. }) => anyhow::anyhow!(
            "a message is longer than the limit of {limit} bytes; closing the connection"
        ),
        error => error.into(),
    }
}

fn error_answer(text: String) -> Answer {
    Answer {
        id: 0,
        reply: Reply::Error(text),
    }
}

/// What belongs to one connection.
struct Conversation<'a> {
    door: Door,
    connection: ConnectionId,
    guest: &'a Guest,
    gate: &'a Gate,
    arrivals: &'a mpsc::Sender<Arrival>,
    /// How many more requests that only look may be unanswered.
    looking: Arc<Semaphore>,
    /// How many more commands may be unanswered.
    commanding: Arc<Semaphore>,
}

impl Conversation<'_> {
    /// Exchanges hellos and passes requests on, until the other side closes the connection.
    async fn hold(
        &self,
        receiver: &mut Receiver,
        sender: &mut Option<Sender>,
    ) -> anyhow::Result<()> {
        if let Some(sender) = sender {
            // The connection itself counts as a message, although it is accepted already.
            if !self.may_go_on(receiver).await {
                return Ok(());
            }
            self.greet(receiver, sender).await?;
            receiver.set_limit(limits::LINE);
            let arrival = Arrival::Operator {
                connection: self.connection,
                sender: sender.clone(),
                guest: *self.guest,
            };
            self.arrivals.send(arrival).await?;
            self.take_requests(receiver, sender).await?;
        }
        self.arrivals
            .send(Arrival::AskedAll(self.connection))
            .await?;
        // From here on core's loop alone keeps the connection open, until it has answered
        // everything.
        *sender = None;
        receiver.hung_up().await;
        Ok(())
    }

    /// Exchanges hellos. Core's comes first, so that a client of another version learns which one
    /// to use.
    async fn greet(&self, receiver: &mut Receiver, sender: &Sender) -> anyhow::Result<()> {
        sender.send(&self.gate.hello)?;
        let hello = async {
            // If the client has closed the connection, the next read finds its end.
            self.may_go_on(receiver).await;
            receiver.next_bounded().await
        };
        let hello: Hello = timeout(HELLO_LIMIT, hello)
            .await
            .context("no hello within ten seconds")?
            .map_err(|error| too_long(error, limits::HELLO))?
            .context("it closed the connection before its hello")?;
        hello.check(&[Role::Operator])?;
        Ok(())
    }

    /// Passes requests on until no more come.
    async fn take_requests(&self, receiver: &mut Receiver, sender: &Sender) -> anyhow::Result<()> {
        let mut malformed = 0;
        loop {
            if !sender.drained().await {
                return Ok(());
            }
            if !self.may_go_on(receiver).await {
                return Ok(());
            }
            let request = match receiver.next_bounded::<Envelope>().await {
                Ok(Some(envelope)) => Ok(envelope),
                Ok(None) => return Ok(()),
                Err(ReceiveError::Frame(error @ FrameError::Malformed { .. })) => {
                    Err(error.to_string())
                }
                Err(error) => {
                    self.answered().await;
                    return Err(too_long(error, limits::LINE));
                }
            };
            self.gate.charge(self.guest.owner, receiver.length());
            if let Err(error) = &request {
                self.gate.complain(self.guest.client, || error.clone());
                malformed += 1;
                if malformed == limits::MALFORMED {
                    self.answered().await;
                    anyhow::bail!("{malformed} messages are malformed; closing the connection");
                }
            }
            let handed_over = async {
                let arrival = self.admit(request, receiver.length()).await?;
                self.arrivals.send(arrival).await?;
                anyhow::Ok(())
            };
            tokio::select! {
                biased;
                sent = handed_over => sent?,
                () = receiver.hung_up() => return Ok(()),
            }
        }
    }

    /// Waits until the user may send another message. Stops waiting if the client disconnects, so
    /// that it uses no time of others. Returns whether it is still connected.
    async fn may_go_on(&self, receiver: &Receiver) -> bool {
        tokio::select! {
            biased;
            () = self.gate.slot(self.guest.owner) => true,
            () = receiver.hung_up() => false,
        }
    }

    /// Waits a little until all requests are answered.
    async fn answered(&self) {
        let commands = u32::try_from(limits::COMMANDING).unwrap_or(u32::MAX);
        let all = async {
            // They are never closed.
            let _ = self.looking.acquire().await;
            let _ = self.commanding.acquire_many(commands).await;
        };
        // Some requests wait for a peer or a script. We do not wait for these.
        let _ = timeout(LAST_ANSWERS, all).await;
    }

    /// What core's loop has to do about a request of this many bytes, or about a malformed message,
    /// as soon as earlier ones are answered. Core's loop does not answer a client that has
    /// disconnected.
    async fn admit(
        &self,
        request: Result<Envelope, String>,
        bytes: usize,
    ) -> anyhow::Result<Arrival> {
        let looks = |it: &Envelope| self.door == Door::Observers || it.request.is_read_only();
        let permits = match &request {
            Ok(envelope) if !looks(envelope) => &self.commanding,
            _ => &self.looking,
        };
        let permit = Arc::clone(permits).acquire_owned().await?;
        let taken = match &request {
            Ok(envelope) if !looks(envelope) => self.gate.unanswered.take(self.guest.owner, bytes),
            _ => Ok(None),
        };
        let (id, why) = match (request, taken) {
            (Ok(envelope), Ok(taken)) => {
                if self.door == Door::Observers && !envelope.request.is_read_only() {
                    let why = "observers may not give commands: use control.sock";
                    (envelope.id, why.to_owned())
                } else {
                    let pass = Pass::new(permit, taken);
                    return Ok(Arrival::Request(self.connection, envelope, pass));
                }
            }
            (Ok(envelope), Err(too_many)) => {
                self.gate
                    .complain(self.guest.client, || too_many.to_string());
                (envelope.id, too_many.to_string())
            }
            (Err(error), _) => (0, error),
        };
        let answer = Answer {
            id,
            reply: Reply::Error(why),
        };
        let pass = Pass::new(permit, None);
        Ok(Arrival::Refused(self.connection, answer, pass))
    }
}

#[cfg(test)]
mod tests;
