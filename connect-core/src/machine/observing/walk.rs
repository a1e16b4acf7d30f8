// SPDX-License-Identifier: GPL-3.0-or-later
//! Readers go through the table of peers, some names in each step and at most one step in a turn.
//!
//! ```text
//!   all peers by name:  a  b  c  d  e  f  g  h  ...
//!                       |        |        |
//!                    readers  readers  readers      those at one place share its step
//! ```
//!
//! A step comes after all events of its turn. So its rows include these events. After the step its
//! readers get the events of these peers, from the next turn on.

use std::iter;

use connect_ipc::control::{PeerRows, PeerStatus, Reply};
use peerdb::Record;

use super::Observing;
use super::readers::{Position, Purpose, Reading};
use crate::machine::Machine;
use crate::machine::changes::found::ChangesFound;
use crate::machine::input::ConnectionId;
use crate::machine::output::{Output, Told, Until};

/// How many rows are made in a step: a third of a millisecond, encoding included.
const ROWS: usize = 100;

/// How many names are looked at in a step: there may be records of many peers that nobody expects.
const LOOKED_AT: usize = 500;

/// What a step has found.
struct Found {
    rows: Vec<PeerStatus>,
    /// How many names were looked at.
    names: usize,
    until: Until,
}

impl Machine {
    /// An observer requests the state, or events and the state before them.
    pub(in crate::machine) fn read_state(
        &mut self,
        connection: ConnectionId,
        user: Option<u32>,
        request: u64,
        purpose: Purpose,
    ) {
        let readers = &mut self.events.observing.readers;
        match readers.ask(connection, user, request, purpose) {
            Ok(()) => self.begin_reading(connection),
            Err(why) => self.answer(connection, request, Reply::Error(why)),
        }
    }

    /// Begins the next request for the state of a connection, if none is under way, and sends the
    /// state of the service.
    fn begin_reading(&mut self, connection: ConnectionId) {
        let Some(reading) = self.events.observing.readers.begin(connection) else {
            return;
        };
        let request = reading.request;
        let filter = match &reading.purpose {
            Purpose::Changes(_) => return,
            Purpose::Status => None,
            Purpose::Events(filter) => Some((**filter).clone()),
        };
        let service = Reply::Service(Box::new(self.service()));
        self.answer(connection, request, service);
        if let Some(filter) = filter {
            self.out.push(Output::Subscribe {
                connection,
                request,
                filter,
                told: Told::Nothing,
            });
        }
    }

    /// Makes the next step for a reader, if it is time.
    pub(in crate::machine) fn walk_more(&mut self) {
        let now = self.now;
        let Observing { readers, pace, .. } = &mut self.events.observing;
        if pace.next_step() > now {
            return;
        }
        let Some((chosen, reader)) = readers.choose(|user| pace.spent(user, now)) else {
            return;
        };
        let user = reader.user;
        let Some(reading) = &mut reader.reading else {
            return;
        };
        let (names, rows) = match &mut reading.purpose {
            Purpose::Changes(found) => {
                let (found, position) = (std::mem::take(found), reading.position.clone());
                (self.look_for_changes(chosen, found, &position), 0)
            }
            Purpose::Events(filter) if !filter.peers.is_empty() => {
                let filter = filter.clone();
                let names = filter.peers.sorted();
                let rows: Vec<_> = names.iter().filter_map(|it| self.peer_row(it)).collect();
                let found = Found {
                    rows,
                    names: names.len(),
                    until: Until::End,
                };
                self.send_rows(chosen, found)
            }
            Purpose::Status | Purpose::Events(_) => {
                let position = reading.position.clone();
                let found = self.rows_after(&position);
                self.send_rows(chosen, found)
            }
        };
        self.events.observing.pace.charge(user, names, rows, now);
    }

    /// Sends rows to the chosen reader and those that need the same rows. Returns what they have
    /// cost.
    fn send_rows(&mut self, chosen: ConnectionId, found: Found) -> (usize, usize) {
        let to = self.events.observing.readers.beside(chosen);
        let cost = (found.names, found.rows.len());
        let position = match &found.until {
            Until::Name(name) => Some(Position::After(name.clone())),
            Until::End => None,
        };
        self.out.push(Output::Rows {
            to: to.clone(),
            rows: PeerRows {
                seq: self.events.last(),
                list: found.rows,
            },
            until: found.until,
        });
        for (connection, _) in to {
            if let Some(reading) = self
                .events
                .observing
                .readers
                .sent(connection, position.clone())
            {
                self.end_reading(connection, &reading);
            }
        }
        cost
    }

    /// A request has been answered except for the final reply.
    fn end_reading(&mut self, connection: ConnectionId, reading: &Reading) {
        let last = match &reading.purpose {
            Purpose::Status => Reply::Done {},
            Purpose::Events(_) => {
                let seq = self.events.last();
                Reply::Live { seq }
            }
            Purpose::Changes(found) => Reply::Changes(Box::new(self.changes_found(found))),
        };
        self.answer(connection, reading.request, last);
        self.begin_reading(connection);
    }

    /// The rows of the next peers after `position`.
    fn rows_after(&self, position: &Position) -> Found {
        let mut rows = Vec::with_capacity(ROWS);
        let (mut names, mut last) = (0, "");
        let mut all = self.names_after(position);
        while rows.len() < ROWS && names < LOOKED_AT {
            let Some(name) = all.next() else { break };
            (names, last) = (names + 1, name);
            rows.extend(self.peer_row(name));
        }
        let until = match all.next() {
            Some(_) => Until::Name(last.into()),
            None => Until::End,
        };
        Found { rows, names, until }
    }

    /// Looks for changes among the next peers after `position`. Returns how many peers it has
    /// looked at.
    fn look_for_changes(
        &mut self,
        chosen: ConnectionId,
        mut found: Box<ChangesFound>,
        position: &Position,
    ) -> usize {
        let mut looked_at = 0;
        let mut last = None;
        for name in self.names_after(position).take(LOOKED_AT) {
            (looked_at, last) = (looked_at + 1, Some(name));
            if let Some(standing) = self.standing_of(name) {
                found.note(name, standing);
            }
        }
        let position = last.filter(|_| looked_at == LOOKED_AT);
        let position = position.map(|name| Position::After(name.into()));
        let ended = self
            .events
            .observing
            .readers
            .looked(chosen, found, position);
        if let Some(reading) = ended {
            self.end_reading(chosen, &reading);
        }
        looked_at
    }

    /// The names after `position`, sorted: of the peers that the server has, that the database has,
    /// and that are gone.
    fn names_after<'a>(&'a self, position: &'a Position) -> impl Iterator<Item = &'a str> {
        let bound = position.bound();
        let recorded = self.database.current.sorted_peers();
        let done = match position {
            Position::Start => 0,
            Position::After(name) => recorded.partition_point(|it| it.name() <= &**name),
        };
        let recorded = recorded.get(done..).unwrap_or_default();
        let mut present = self.peers.names_from(bound).peekable();
        let mut recorded = recorded.iter().map(Record::name).peekable();
        let mut gone = self.peers.departures.names_from(bound).peekable();
        iter::from_fn(move || {
            let next = [present.peek(), recorded.peek(), gone.peek()];
            let next = *next.into_iter().flatten().min()?;
            present.next_if_eq(&next);
            recorded.next_if_eq(&next);
            gone.next_if_eq(&next);
            Some(next)
        })
    }
}
