// SPDX-License-Identifier: GPL-3.0-or-later
//! Who wants events, and who is too slow for them.
//!
//! ```text
//!   Machine --Event--> [Observers] --filter, bound--> each subscriber's Sender
//! ```

use connect_ipc::control::{Answer, Reply};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;
use connect_ipc::frame::EncodedReply;
use connect_runtime::transport::Sender;

use crate::machine::{ConnectionId, Told, Until};

/// Unread bytes from which on a subscriber loses events: some ten thousand of them. It is far
/// below the bound at which the connection is cut, since being slow is no crime.
const ENOUGH: usize = 1024 * 1024;

/// A wish for events.
#[derive(Debug)]
struct Subscription {
    connection: ConnectionId,
    request: u64,
    filter: EventFilter,
    reached: Reached,
    /// Events left out and not told of yet.
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
}

impl Observers {
    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Adds a subscriber, which has been given this much of the state.
    pub fn subscribe(
        &mut self,
        connection: ConnectionId,
        request: u64,
        filter: EventFilter,
        told: Told,
    ) {
        self.subscriptions.push(Subscription {
            connection,
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

    /// Hands events to everybody who wants them. Returns how many were left out.
    pub fn publish<'a>(
        &mut self,
        events: &[Event],
        sender_of: impl Fn(ConnectionId) -> Option<&'a Sender>,
    ) -> u64 {
        if events.is_empty() {
            return 0;
        }
        // Encoded when the first wants it, and then the same for all.
        let mut encoded: Vec<Option<EncodedReply>> = vec![None; events.len()];
        let mut dropped = 0;
        for subscription in &mut self.subscriptions {
            let Some(sender) = sender_of(subscription.connection) else {
                continue;
            };
            dropped += subscription.deliver(events, &mut encoded, sender);
        }
        dropped
    }
}

impl Subscription {
    fn deliver(
        &mut self,
        events: &[Event],
        encoded: &mut [Option<EncodedReply>],
        sender: &Sender,
    ) -> u64 {
        let mut left_out = 0;
        for (event, encoded) in events.iter().zip(encoded) {
            let reached = |peer: &String| self.reached.includes(peer);
            if !event.peer.as_ref().is_none_or(reached) || !self.filter.wants(event) {
                continue;
            }
            if sender.backlog() >= ENOUGH {
                left_out += 1;
                self.dropped += 1;
                continue;
            }
            if self.dropped > 0 {
                let events = std::mem::take(&mut self.dropped);
                // A connection that is gone is cleared away when its reader ends.
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
        sender.flush();
        left_out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use connect_ipc::event::EventKind;
    use connect_runtime::transport::{self, Client, Receiver};
    use interprocess::local_socket::tokio::Stream;

    /// Somebody who has connected: its end, who it is, and our two halves.
    pub(crate) async fn an_operator() -> (Stream, Client, Receiver, Sender) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = transport::listen(&path, 0o600).await.unwrap();
        let there = transport::connect(&path).await.unwrap();
        let (here, client) = transport::accept(&listener).await.unwrap();
        let (receiver, sender) = transport::split(here, transport::OPERATOR_BACKLOG).unwrap();
        (there, client, receiver, sender)
    }

    fn event(seq: u64, words: usize) -> Event {
        let kind = EventKind::Broadcast {
            words: vec!["x".repeat(words)],
        };
        Event {
            seq,
            at_ms: 0,
            peer: None,
            kind,
        }
    }

    #[tokio::test]
    async fn a_slow_observer_loses_events_and_is_told_how_many() {
        let (there, _, _receiver, sender) = an_operator().await;
        let connection = ConnectionId(1);
        let sender_of = |of| (of == connection).then_some(&sender);
        let mut observers = Observers::default();
        observers.subscribe(connection, 7, EventFilter::default(), Told::All);

        let events: Vec<Event> = (2..=400).map(|seq| event(seq, 10_000)).collect();
        let dropped = observers.publish(&events, sender_of);
        assert!(dropped > 200, "{dropped}");
        // It begins to read again.
        let (mut reader, _keep) = transport::split(there, transport::OPERATOR_BACKLOG).unwrap();
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
        observers.publish(&[event(401, 1)], sender_of);
        let next: Answer = reader.next().await.unwrap().unwrap();
        assert_eq!(next.reply, Reply::Dropped { events: dropped });
        let next: Answer = reader.next().await.unwrap().unwrap();
        assert!(matches!(next.reply, Reply::Event(Event { seq: 401, .. })));
    }
}
