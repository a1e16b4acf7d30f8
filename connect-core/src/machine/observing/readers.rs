// SPDX-License-Identifier: GPL-3.0-or-later
//! Who reads the state, and how far each has read.
//!
//! A connection has one answer under way; its other requests wait. Nothing is made for one that has
//! not read what it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use connect_ipc::event_filter::EventFilter;

use crate::machine::changes::found::ChangesFound;
use crate::machine::input::ConnectionId;

/// How many requests of one connection may wait for the one before them.
const QUEUED: usize = 8;

/// How many connections one step may be for.
const RECIPIENTS: usize = 16;

/// What the state is read for.
#[derive(Clone, Debug)]
pub(in crate::machine) enum Purpose {
    /// To know it.
    Status,
    /// To know it before the events that follow.
    Events(Box<EventFilter>),
    /// To know which peers differ from the database.
    Changes(Box<ChangesFound>),
}

/// How far a reader has read the table of peers, which is sorted by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Position {
    /// Before the first.
    Start,
    /// The peers up to this name are done.
    After(Box<str>),
}

impl Position {
    /// The bound after which the next names begin.
    pub(super) fn bound(&self) -> Bound<&str> {
        match self {
            Position::Start => Bound::Unbounded,
            Position::After(name) => Bound::Excluded(name),
        }
    }
}

/// An answer that is under way.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) request: u64,
    pub(super) purpose: Purpose,
    pub(super) position: Position,
}

impl Reading {
    /// Whether it goes through the rows of all peers.
    fn is_of_all(&self) -> bool {
        match &self.purpose {
            Purpose::Status => true,
            Purpose::Events(filter) => filter.peers.is_empty(),
            Purpose::Changes(_) => false,
        }
    }
}

/// A connection that reads the state.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) user: Option<u32>,
    pub(super) reading: Option<Reading>,
    /// Whether it has read the rows that it was sent.
    drained: bool,
    queued: VecDeque<(u64, Purpose)>,
}

impl Reader {
    /// What to do for it next, if it has read what it was sent.
    fn ready(&self) -> Option<&Reading> {
        self.reading.as_ref().filter(|_| self.drained)
    }
}

/// The readers of all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    by_connection: BTreeMap<ConnectionId, Reader>,
}

impl Readers {
    /// A request comes, and waits to be begun.
    ///
    /// # Errors
    /// What is wrong, for the one who asks.
    pub(super) fn ask(
        &mut self,
        connection: ConnectionId,
        user: Option<u32>,
        request: u64,
        purpose: Purpose,
    ) -> Result<(), String> {
        let reader = self.by_connection.entry(connection).or_insert(Reader {
            user,
            reading: None,
            drained: true,
            queued: VecDeque::new(),
        });
        if reader.queued.len() >= QUEUED {
            return Err(format!(
                "{QUEUED} requests for the state already wait on this connection; read the \
                 answers first"
            ));
        }
        reader.queued.push_back((request, purpose));
        Ok(())
    }

    /// Begins the next request of a connection, if there is one and none is under way.
    pub(super) fn begin(&mut self, connection: ConnectionId) -> Option<&Reading> {
        self.clear(connection);
        let reader = self.by_connection.get_mut(&connection)?;
        if reader.reading.is_some() {
            return None;
        }
        let (request, purpose) = reader.queued.pop_front()?;
        Some(reader.reading.insert(Reading {
            request,
            purpose,
            position: Position::Start,
        }))
    }

    /// How many connections read, or have not read what they were sent.
    pub(super) fn len(&self) -> usize {
        self.by_connection.len()
    }

    /// Whether there is something to do for anybody.
    pub(super) fn are_ready(&self) -> bool {
        let mut all = self.by_connection.values();
        all.any(|reader| reader.ready().is_some())
    }

    /// The connection for the next step: of the users that wait, that of the user who has used
    /// least, and of its connections the oldest.
    pub(super) fn choose(
        &mut self,
        spent: impl Fn(Option<u32>) -> Duration,
    ) -> Option<(ConnectionId, &mut Reader)> {
        let ready = self.by_connection.iter_mut();
        let ready = ready.filter(|(_, reader)| reader.ready().is_some());
        ready
            .min_by_key(|(connection, reader)| (spent(reader.user), **connection))
            .map(|(connection, reader)| (*connection, reader))
    }

    /// The connections that need the same rows next as `chosen`, with their requests; `chosen` is
    /// the first.
    pub(super) fn beside(&self, chosen: ConnectionId) -> Vec<(ConnectionId, u64)> {
        let ready = |connection| self.by_connection.get(&connection)?.ready();
        let Some(reading) = ready(chosen) else {
            return Vec::new();
        };
        let others = self.by_connection.keys().filter(|other| **other != chosen);
        let beside = others.filter_map(|other| {
            let other_reading = ready(*other)?;
            let shares = other_reading.is_of_all() && other_reading.position == reading.position;
            shares.then_some((*other, other_reading.request))
        });
        let others = beside.take(if reading.is_of_all() {
            RECIPIENTS - 1
        } else {
            0
        });
        std::iter::once((chosen, reading.request))
            .chain(others)
            .collect()
    }

    /// A connection is sent rows up to `position`; `None` if that is the end. Returns the request
    /// if it is complete.
    pub(super) fn sent(
        &mut self,
        connection: ConnectionId,
        position: Option<Position>,
    ) -> Option<Reading> {
        let reader = self.by_connection.get_mut(&connection)?;
        reader.drained = false;
        match (position, &mut reader.reading) {
            (Some(position), Some(reading)) => {
                reading.position = position;
                None
            }
            (_, reading) => reading.take(),
        }
    }

    /// A connection's search for changes has reached `position`; `None` if that is the end. Returns
    /// the request if it is complete.
    pub(super) fn looked(
        &mut self,
        connection: ConnectionId,
        found: Box<ChangesFound>,
        position: Option<Position>,
    ) -> Option<Reading> {
        let reader = self.by_connection.get_mut(&connection)?;
        let reading = reader.reading.as_mut()?;
        reading.purpose = Purpose::Changes(found);
        match position {
            Some(position) => {
                reading.position = position;
                None
            }
            None => reader.reading.take(),
        }
    }

    /// A connection has read what it was sent.
    pub(super) fn drained(&mut self, connection: ConnectionId) {
        if let Some(reader) = self.by_connection.get_mut(&connection) {
            reader.drained = true;
            self.clear(connection);
        }
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
    }

    /// Forgets a connection that wants nothing and has read everything.
    fn clear(&mut self, connection: ConnectionId) {
        if let Some(reader) = self.by_connection.get(&connection)
            && reader.drained
            && reader.reading.is_none()
            && reader.queued.is_empty()
        {
            self.by_connection.remove(&connection);
        }
    }
}
