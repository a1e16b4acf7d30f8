// SPDX-License-Identifier: GPL-3.0-or-later
//! Observers: those who want events, and those who read the state, which is made as fast as they
//! read it.
//!
//! ```text
//!   status, events, changes --> [readers] --one step a turn--> [walk] --Rows--> all at one place
//!   events ------------------> [subscriptions] --which kinds are wanted--> emit
//!   user, time --------------> [pace] --whose turn it is, and when--> [walk]
//! ```

mod pace;
mod readers;
mod subscriptions;
mod walk;

use connect_ipc::clock::Monotonic;
use connect_ipc::event::EventName;
use connect_ipc::event_filter::EventKinds;
use connect_ipc::observers::ObserverCounts;

use super::input::ConnectionId;
pub(in crate::machine) use readers::Purpose;

/// The observers.
#[derive(Clone, Debug, Default)]
pub(super) struct Observing {
    subscriptions: subscriptions::Subscriptions,
    readers: readers::Readers,
    pace: pace::Pace,
    /// How many are connected.
    pub(super) counts: ObserverCounts,
}

impl Observing {
    /// Whether an observer wants events of this kind.
    pub(super) const fn wants(&self, name: EventName) -> bool {
        self.subscriptions.wanted().contains(name)
    }

    /// Somebody wants events of these kinds.
    ///
    /// # Errors
    /// What is wrong, for the one who asks.
    pub(super) fn subscribe(
        &mut self,
        connection: ConnectionId,
        request: u64,
        kinds: EventKinds,
    ) -> Result<(), String> {
        self.subscriptions
            .add(connection, request, kinds.or_default())
    }

    /// A connection has read what it was sent.
    pub(super) fn drained(&mut self, connection: ConnectionId) {
        self.readers.drained(connection);
    }

    /// A connection has ended: nothing more is made for it.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.readers.forget(connection);
        self.subscriptions.forget(connection);
    }

    /// How many connections read the state.
    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// When the next step is due, if somebody waits for one.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.readers.are_ready().then(|| self.pace.next_step())
    }
}
