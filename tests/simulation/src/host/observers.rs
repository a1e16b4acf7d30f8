// SPDX-License-Identifier: GPL-3.0-or-later
//! Operators and observers, and who of them gets which events. The latter is imitated from
//! connect-core/src/endpoints/observers.rs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use connect_core::machine::{ConnectionId, Told, Until};
use connect_ipc::control::{Answer, Envelope, PeerRows, Reply, Request};
use connect_ipc::event::Event;
use connect_ipc::event_filter::EventFilter;
use connect_ipc::observers::ObserverCounts;

use super::Host;
use super::clients::{ClientStep, Clients};
use super::core::Arrival;
use super::links::Message;
use crate::instant::Instant;
use crate::plan::Part;
use crate::queue::Step;
use crate::seen::{Seen, Watcher};
use crate::world::shared::Shared;

/// How long it takes to read what was sent.
const READS: Duration = Duration::from_micros(500);

/// How long a second helper stays that is not refused.
const OTHER_STAYS: Duration = Duration::from_secs(1);

/// How many events wait for an observer that does not read; beyond, they are dropped and told.
const UNREAD: usize = 1_000;

/// One connection of an operator or observer.
#[derive(Debug, Default)]
struct Viewer {
    reads: bool,
    /// What it has not read.
    unread: VecDeque<Sent>,
    /// Events left out and not told of yet.
    dropped: u64,
    /// Until when it asks the same again as soon as it is answered.
    again_until: Option<Instant>,
    /// Whether it leaves when it is answered.
    leaves: bool,
    request: Option<Request>,
}

/// Something that was sent to an operator or observer.
#[derive(Debug)]
enum Sent {
    Answer(Box<Answer>),
    Event(Box<Event>),
}

/// A wish for events.
#[derive(Debug)]
struct Subscription {
    connection: ConnectionId,
    request: u64,
    filter: EventFilter,
    reached: Reached,
}

/// The peers whose rows a subscriber has.
#[derive(Debug)]
enum Reached {
    Nobody,
    Until(Box<str>),
    All,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Viewers {
    all: BTreeMap<ConnectionId, Viewer>,
    subscriptions: Vec<Subscription>,
    requests: u64,
}

/// How somebody goes on after a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GoesOn {
    /// Leaves when the answer is complete.
    Leaves,
    /// Stays for so long and reads, or does not.
    Stays { time: Duration, reads: bool },
    /// Asks again and again for so long.
    Asks(Duration),
    /// Leaves as soon as it has asked.
    LeavesAtOnce,
}

impl Clients {
    /// A connection subscribes.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        request: u64,
        filter: EventFilter,
        told: Told,
    ) {
        self.viewers.subscriptions.push(Subscription {
            connection,
            request,
            filter,
            reached: match told {
                Told::All => Reached::All,
                Told::Nothing => Reached::Nobody,
            },
        });
    }
}

impl Host {
    /// An operator connects and asks for something. Whether there is a core.
    pub(crate) fn ask_core<W: Watcher>(
        &mut self,
        request: Request,
        goes_on: GoesOn,
        shared: &mut Shared<W>,
    ) -> bool {
        if !self.core.process.lives {
            return false;
        }
        let connection = self.links.number();
        let mut viewer = Viewer {
            reads: true,
            request: Some(request.clone()),
            ..Viewer::default()
        };
        let leave = |after| {
            let step = ClientStep::ViewerLeaves(connection);
            (after, Step::Client(self.id, step))
        };
        let leaving = match goes_on {
            GoesOn::Leaves => {
                viewer.leaves = true;
                None
            }
            GoesOn::Stays { time, reads } => {
                viewer.reads = reads;
                Some(leave(time))
            }
            GoesOn::Asks(time) => {
                viewer.again_until = Some(shared.now + time);
                Some(leave(time + Duration::from_secs(1)))
            }
            GoesOn::LeavesAtOnce => Some(leave(Duration::from_micros(30))),
        };
        if let Some((after, step)) = leaving {
            shared.after(after, step);
        }
        let reads = viewer.reads;
        self.clients.viewers.all.insert(connection, viewer);
        shared.see(self.id, Seen::Reading(connection, reads));
        let connected = self.clients.viewers.all.len() as u64;
        let counts = ObserverCounts {
            connected,
            ..ObserverCounts::default()
        };
        self.tell_core(Arrival::Observers(counts), shared);
        self.send_request(connection, request, shared);
        true
    }

    fn send_request<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        request: Request,
        shared: &mut Shared<W>,
    ) {
        self.clients.viewers.requests += 1;
        let id = self.clients.viewers.requests;
        let envelope = Box::new(Envelope { id, request });
        self.tell_core(Arrival::Request(connection, envelope), shared);
    }

    /// Core answers.
    pub(crate) fn answer<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        answer: Answer,
        shared: &mut Shared<W>,
    ) {
        let Some(viewer) = self.clients.viewers.all.get_mut(&connection) else {
            return;
        };
        if !viewer.reads {
            viewer.unread.push_back(Sent::Answer(Box::new(answer)));
            return;
        }
        let is_final = answer.reply.is_final();
        let again = viewer.again_until.is_some_and(|until| shared.now < until);
        let (leaves, request) = (viewer.leaves, viewer.request.clone());
        shared.see(self.id, Seen::Replied(connection, &answer));
        if !is_final {
            return;
        }
        let step = if leaves {
            ClientStep::ViewerLeaves(connection)
        } else if again && request.is_some() {
            ClientStep::AsksAgain(connection)
        } else {
            return;
        };
        shared.after(READS, Step::Client(self.id, step));
    }

    /// Core sends rows.
    pub(crate) fn rows<W: Watcher>(
        &mut self,
        to: &[(ConnectionId, u64)],
        rows: &PeerRows,
        until: &Until,
        shared: &mut Shared<W>,
    ) {
        let viewers = &mut self.clients.viewers;
        let mut reading = Vec::new();
        for (connection, request) in to {
            let mut all = viewers.subscriptions.iter_mut();
            if let Some(it) = all.find(|it| (it.connection, it.request) == (*connection, *request))
            {
                it.reached = match until {
                    Until::Name(name) => Reached::Until(name.clone()),
                    Until::End => Reached::All,
                };
            }
            let Some(viewer) = viewers.all.get_mut(connection) else {
                continue;
            };
            if viewer.reads {
                reading.push((*connection, *request));
                let step = ClientStep::Drained(*connection);
                shared.after(READS, Step::Client(self.id, step));
            } else {
                let reply = Reply::Peers(rows.clone());
                let answer = Answer {
                    id: *request,
                    reply,
                };
                viewer.unread.push_back(Sent::Answer(Box::new(answer)));
            }
        }
        if !reading.is_empty() {
            shared.see(self.id, Seen::Rows(&reading, rows));
        }
    }

    /// Core tells of an event.
    pub(crate) fn event<W: Watcher>(&mut self, event: &Event, shared: &mut Shared<W>) {
        let viewers = &mut self.clients.viewers;
        let mut dropped = 0;
        for it in &viewers.subscriptions {
            let reached = |peer: &String| match &it.reached {
                Reached::Nobody => false,
                Reached::Until(last) => peer.as_str() <= &**last,
                Reached::All => true,
            };
            if !event.peer.as_ref().is_none_or(reached) || !it.filter.wants(event) {
                continue;
            }
            let Some(viewer) = viewers.all.get_mut(&it.connection) else {
                continue;
            };
            if viewer.reads {
                shared.see(self.id, Seen::Event(it.connection, event));
            } else if viewer.unread.len() < UNREAD {
                viewer
                    .unread
                    .push_back(Sent::Event(Box::new(event.clone())));
            } else {
                viewer.dropped += 1;
                dropped += 1;
            }
        }
        if dropped > 0 {
            self.core.note_dropped(dropped);
        }
    }

    /// An operator or observer has read what it was sent.
    pub(crate) fn drained<W: Watcher>(&mut self, connection: ConnectionId, shared: &mut Shared<W>) {
        if self.clients.viewers.all.contains_key(&connection) {
            self.tell_core(Arrival::Drained(connection), shared);
        }
    }

    /// An operator asks the same again.
    pub(crate) fn asks_again<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        shared: &mut Shared<W>,
    ) {
        let viewer = self.clients.viewers.all.get(&connection);
        if let Some(request) = viewer.and_then(|viewer| viewer.request.clone()) {
            self.send_request(connection, request, shared);
        }
    }

    /// An operator or observer leaves.
    pub(crate) fn viewer_leaves<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        shared: &mut Shared<W>,
    ) {
        if self.clients.viewers.all.remove(&connection).is_some() {
            self.forget_viewer(connection, shared);
            self.tell_core(Arrival::Gone(connection), shared);
        }
    }

    fn forget_viewer<W: Watcher>(&mut self, connection: ConnectionId, shared: &mut Shared<W>) {
        let subscriptions = &mut self.clients.viewers.subscriptions;
        subscriptions.retain(|it| it.connection != connection);
        shared.see(self.id, Seen::Gone(connection));
    }

    /// A second helper leaves, if it is there still.
    pub(crate) fn other_leaves<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        shared: &mut Shared<W>,
    ) {
        self.links.close(self.id, connection, false, shared);
    }

    /// Everybody who does not read does so from now on.
    pub(crate) fn all_read<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let all = self.clients.viewers.all.iter_mut();
        let silent: Vec<ConnectionId> = all
            .filter(|(_, viewer)| !viewer.reads)
            .map(|(connection, _)| *connection)
            .collect();
        for connection in silent {
            self.reads(connection, shared);
        }
    }

    fn reads<W: Watcher>(&mut self, connection: ConnectionId, shared: &mut Shared<W>) {
        let Some(viewer) = self.clients.viewers.all.get_mut(&connection) else {
            return;
        };
        viewer.reads = true;
        let unread = std::mem::take(&mut viewer.unread);
        let dropped = std::mem::take(&mut viewer.dropped);
        shared.see(self.id, Seen::Reading(connection, true));
        for sent in unread {
            match sent {
                Sent::Answer(answer) => shared.see(self.id, Seen::Replied(connection, &answer)),
                Sent::Event(event) => shared.see(self.id, Seen::Event(connection, &event)),
            }
        }
        let subscriptions = self.clients.viewers.subscriptions.iter();
        let mut own = subscriptions.filter(|it| it.connection == connection);
        if let Some(own) = own.next()
            && dropped > 0
        {
            let reply = Reply::Dropped { events: dropped };
            let answer = Answer {
                id: own.request,
                reply,
            };
            shared.see(self.id, Seen::Replied(connection, &answer));
        }
        let step = ClientStep::Drained(connection);
        shared.after(READS, Step::Client(self.id, step));
    }

    /// Core has ended, and with it the connections of operators and observers.
    pub(crate) fn core_left_clients<W: Watcher>(&mut self, shared: &mut Shared<W>) {
        let all = std::mem::take(&mut self.clients.viewers.all);
        for connection in all.into_keys() {
            self.forget_viewer(connection, shared);
        }
    }

    /// A second helper of a kind tries to connect until then.
    pub(crate) fn other_helper<W: Watcher>(
        &mut self,
        part: Part,
        until: Instant,
        shared: &mut Shared<W>,
    ) {
        if self.core.process.lives {
            let connection = self.links.connect(part, true);
            self.links.send(self.id, connection, Message::Hello, shared);
            // Nobody else could take the place of one that stays and says nothing.
            let step = ClientStep::OtherLeaves(connection);
            shared.after(OTHER_STAYS, Step::Client(self.id, step));
        }
        let next = shared.now + Duration::from_secs(15);
        if next < until {
            let step = ClientStep::OtherHelper(part, until);
            shared.queue.push(next, Step::Client(self.id, step));
        }
    }

    /// Core says something to a second helper, which leaves.
    pub(crate) fn message_to_other<W: Watcher>(
        &mut self,
        connection: ConnectionId,
        message: &Message,
        shared: &mut Shared<W>,
    ) {
        if matches!(message, Message::Refused) {
            shared.summary.coverage.of("second helper").effective += 1;
        }
        // It leaves at once even if there is no first one, since it would do nothing.
        self.links.close(self.id, connection, false, shared);
    }
}
