// SPDX-License-Identifier: GPL-3.0-or-later
//! Checking peers together with the pinger: it decides when a peer is pinged, and core sends the
//! pings, evaluates the results and acts on them.
//!
//! ```text
//!   pinger --PingOrder--> [sending] --> [ping_queue] --when due--> server
//!   server --result-----> [judging] --> [outbox] --EndedPing----> pinger
//!                                  \-> [asked]  --Pinged-------> operators
//! ```

pub(super) mod adoption;
mod asked;
mod asked_pings;
mod early_check;
mod judging;
mod outbox;
mod owed;
mod ping_queue;
mod pinger;
mod sending;
mod up_down;

use std::collections::{HashMap, HashSet};

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::Remembered;

use super::helper::Helper;
use super::watch::Watch;
use asked_pings::AskedPings;
use outbox::Outbox;
use ping_queue::PingQueue;

pub(super) use owed::{Debt, Owed};
pub use ping_queue::COALESCE;

/// The pinger's connection, and orders and messages that are on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Pinger {
    pub(super) helper: Helper,
    /// Pings that it has ordered in advance.
    queue: PingQueue,
    /// Messages that it was not sent yet.
    outbox: Outbox,
    /// What a pinger remembered of an earlier core's peers, until the peers are adopted.
    pub(super) remembered: HashMap<String, Remembered>,
    /// Peers whose figures are those that an earlier core saved: a pinger that connects now may
    /// have later ones.
    pub(super) from_state: HashSet<PeerId>,
    /// Operators who wait for the result of a ping.
    asked: AskedPings,
    /// What is due from it and from the server.
    pub(super) owed: Owed,
    /// What was found overdue.
    pub(super) watch: Watch,
}

impl Pinger {
    /// A pinger that is expected from `now` on.
    pub(super) fn awaited(now: Monotonic) -> Self {
        Pinger {
            helper: Helper::awaited(now),
            ..Pinger::default()
        }
    }

    /// When a ping is due, or a result has waited long enough.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let deadlines = [self.queue.deadline(), self.outbox.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// How many orders are not due yet, and how many messages wait for the pinger.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.queue.len(), self.outbox.len())
    }

    /// How many operators wait for the result of a ping.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// A pinger has connected or disconnected: nothing is on its way to it.
    fn start_over(&mut self) {
        self.queue.forget_pinger();
        self.outbox.clear();
    }
}

/// Whether a peer is new to the pinger or only its plan has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WatchAs {
    /// New: it starts at the phase given.
    New,
    /// Known: it keeps its phase.
    Replanned,
}
