// SPDX-License-Identifier: GPL-3.0-or-later
//! Which clients want events, and which read them too slowly.
//!
//! ```text
//!   Machine --Event--> [Observers] --filter, bound--> each subscriber's Sender
//! ```

use connect_ipc::clock::Monotonic;
use connect_ipc::control::{Answer, Reply};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;
use connect_ipc::frame::EncodedReply;
use connect_runtime::transport::Sender;

use crate::endpoints::access::Owner;
use crate::endpoints::limits;
use crate::endpoints::pacer::Deliveries;
use crate::machine::{ConnectionId, Told, Until};

/// A request for events.
#[derive(Debug)]
struct Subscription {
    connection: ConnectionId,
    owner: Owner,
    request: u64,
    filter: EventFilter,
    reached: Reached,
    /// Events that were left out, which the subscriber was not told yet.
    dropped: u64,
}

/// The peers whose rows a subscriber has: only their events are for it.
#[derive(Debug)]
enum Reached {
    Nobody,
    Until(Box<str>),
    All,
}

impl Reached {
    fn includes(&self, peer: &str) -> bool {
        match self {
            Reached::Nobody => false,
            Reached::Until(last) => peer <= &**last,
            Reached::All => true,
        }
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub struct Observers {
    subscriptions: Vec<Subscription>,
    deliveries: Deliveries,
}

impl Observers {
    /// Whether there is no subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Adds a subscriber, which has been sent this much of the state.
    pub fn subscribe(
        &mut self,
        connection: ConnectionId,
        owner: Owner,
        request: u64,
        filter: EventFilter,
        told: Told,
    ) {
        self.subscriptions.push(Subscription {
            connection,
            owner,
            request,
            filter,
            reached: match told {
                Told::All => Reached::All,
                Told::Nothing => Reached::Nobody,
            },
            dropped: 0,
        });
    }

    /// A connection was given rows of the table of peers, as replies to a request.
    pub fn has_rows(&mut self, connection: ConnectionId, request: u64, until: &Until) {
        let mut all = self.subscriptions.iter_mut();
        if let Some(it) = all.find(|it| (it.connection, it.request) == (connection, request)) {
            it.reached = match until {
                Until::Name(name) => Reached::Until(name.clone()),
                Until::End => Reached::All,
            };
        }
    }

    /// Forgets a connection's subscriptions.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.subscriptions
            .retain(|subscription| subscription.connection != connection);
    }

    /// Sends events to all who want them. Returns how many were left out.
    pub fn publish<'a>(
        &mut self,
        events: &[Event],
        now: Monotonic,
        sender_of: impl Fn(ConnectionId) -> Option<&'a Sender>,
    ) -> u64 {
        // Encoded once, for the first subscriber who wants it.
        let mut encoded: Vec<Option<EncodedReply>> = vec![None; events.len()];
        let mut dropped = 0;
        for subscription in &mut self.subscriptions {
            let Some(sender) = sender_of(subscription.connection) else {
                continue;
            };
            let owner = subscription.owner;
            let left = self.deliveries.left(owner, now);
            let outcome = subscription.deliver(events, &mut encoded, sender, left);
            dropped += outcome.left_out;
            if outcome.delivered > 0 {
                self.deliveries.delivered(owner, outcome.delivered, now);
            }
        }
        dropped
    }
}

/// How many events one subscriber got, and how many were left out.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    delivered: usize,
    left_out: u64,
}

/// Whether a subscriber has left [`limits::EVENTS_UNREAD`] bytes unread, so that it loses events.
fn is_behind(sender: &Sender) -> bool {
    sender.backlog() >= limits::EVENTS_UNREAD
}

impl Subscription {
    /// Sends those of the events that it wants, at most `left`.
    fn deliver(
        &mut self,
        events: &[Event],
        encoded: &mut [Option<EncodedReply>],
        sender: &Sender,
        left: usize,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for (event, encoded) in events.iter().zip(encoded) {
            let reached = |peer: &String| self.reached.includes(peer);
            if !event.peer.as_ref().is_none_or(reached) || !self.filter.wants(event) {
                continue;
            }
            if outcome.delivered >= left || is_behind(sender) {
                outcome.left_out += 1;
                self.dropped += 1;
                continue;
            }
            outcome.delivered += 1;
            if self.dropped > 0 {
                let events = std::mem::take(&mut self.dropped);
                // If the client has disconnected, the connection is removed when its reader ends.
                let _ = sender.put(&Answer {
                    id: self.request,
                    reply: Reply::Dropped { events },
                });
            }
            let encoded = match encoded {
                Some(encoded) => encoded,
                None => match EncodedReply::event(event) {
                    Ok(fresh) => encoded.insert(fresh),
                    Err(error) => {
                        tracing::error!(%error, "cannot encode an event");
                        continue;
                    }
                },
            };
            let _ = sender.put_reply(self.request, encoded);
        }
        if outcome.delivered > 0 {
            sender.flush();
        }
        outcome
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use connect_ipc::event::EventKind;
    use connect_runtime::transport::{self, Client, Receiver};
    use interprocess::local_socket::tokio::Stream;

    const START: Monotonic = Monotonic(1_000_000_000);

    /// Somebody who has connected: its end, who it is, and our two halves.
    pub(crate) async fn an_operator() -> (Stream, Client, Receiver, Sender) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = transport::listen(&path, 0o600).await.unwrap();
        let there = transport::connect(&path).await.unwrap();
        let (here, client) = transport::accept(&listener).await.unwrap();
        let limits = transport::Limits::of_backlog(transport::CLIENT_BACKLOG);
        let (receiver, sender) = transport::split_within(here, limits);
        (there, client, receiver, sender)
    }

    fn event(seq: u64, length: usize) -> Event {
        let kind = EventKind::StateFault {
            fault: "x".repeat(length),
        };
        Event {
            seq,
            at_ms: 0,
            peer: None,
            kind,
        }
    }

    #[tokio::test]
    async fn events_of_peers_whose_rows_are_still_to_come_are_not_sent() {
        let (there, _, _receiver, sender) = an_operator().await;
        let connection = ConnectionId(1);
        let sender_of = |_| Some(&sender);
        let mut observers = Observers::default();
        let everything = EventFilter::default();
        observers.subscribe(connection, Owner::Other(None), 7, everything, Told::Nothing);
        let of = |seq, peer: Option<&str>| Event {
            peer: peer.map(str::to_owned),
            ..event(seq, 1)
        };
        observers.publish(&[of(1, Some("a")), of(2, None)], START, sender_of);
        observers.has_rows(connection, 8, &Until::End);
        observers.has_rows(connection, 7, &Until::Name("b".into()));
        let three = [of(3, Some("a")), of(4, Some("b")), of(5, Some("c"))];
        observers.publish(&three, START, sender_of);
        observers.has_rows(connection, 7, &Until::End);
        observers.publish(&[of(6, Some("c"))], START, sender_of);
        let (mut reader, _keep) = transport::split(there, transport::CLIENT_BACKLOG).unwrap();
        for expected in [2, 3, 4, 6] {
            let answer: Answer = reader.next().await.unwrap().unwrap();
            let Reply::Event(event) = answer.reply else {
                panic!("{answer:?}")
            };
            assert_eq!(event.seq, expected);
        }
    }

    #[tokio::test]
    async fn a_slow_observer_loses_events_and_is_told_how_many() {
        let (there, _, _receiver, sender) = an_operator().await;
        let connection = ConnectionId(1);
        let sender_of = |of| (of == connection).then_some(&sender);
        let mut observers = Observers::default();
        let everything = EventFilter::default();
        observers.subscribe(connection, Owner::Trusted, 7, everything, Told::All);

        let events: Vec<Event> = (2..=400).map(|seq| event(seq, 10_000)).collect();
        let dropped = observers.publish(&events, START, sender_of);
        assert!(dropped > 200, "{dropped}");
        // It begins to read again.
        let (mut reader, _keep) = transport::split(there, transport::CLIENT_BACKLOG).unwrap();
        let mut seen = Vec::new();
        while seen.len() < usize::try_from(399 - dropped).unwrap() {
            let answer: Answer = reader.next().await.unwrap().unwrap();
            assert_eq!(answer.id, 7);
            let Reply::Event(event) = answer.reply else {
                panic!("{answer:?}")
            };
            seen.push(event.seq);
        }
        assert_eq!(seen[0], 2);
        observers.publish(&[event(401, 1)], START, sender_of);
        let next: Answer = reader.next().await.unwrap().unwrap();
        assert_eq!(next.reply, Reply::Dropped { events: dropped });
        let next: Answer = reader.next().await.unwrap().unwrap();
        assert!(matches!(next.reply, Reply::Event(Event { seq: 401, .. })));
    }
}
