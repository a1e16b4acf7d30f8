// SPDX-License-Identifier: GPL-3.0-or-later
//! What is being added, and what is to be added when a greeting comes.

mod adding;
mod attempts;
mod knocks;
mod lookups;
mod passive;
mod resolving;
pub(super) mod revivals;
mod reviving;

use std::collections::BTreeMap;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::knock::KnockRefusal;
use peerdb::Database;

use super::changes::Applying;
use super::requester::Requester;
use attempts::Attempts;
use lookups::Lookups;
use revivals::{Revivals, SavedRevival, comes_back};

/// An addition under way.
#[derive(Clone, Debug)]
struct Adding {
    /// All who requested exactly this addition.
    requesters: Vec<Requester>,
    address: Vec<String>,
    options: Vec<String>,
    /// Whether the server already had a peer of this name once; if it has one again, somebody else
    /// has added it.
    retried: bool,
}

/// A knock that was refused.
#[derive(Clone, Debug)]
struct Refusal {
    at: Monotonic,
    /// The name that it gave.
    name: Box<str>,
    address: String,
    reason: KnockRefusal,
    /// The tag in the record, if the knock has another one.
    recorded_tag: Option<Box<str>>,
}

/// What is being added, and what is to be added when a greeting comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Additions {
    /// By the peer's name.
    under_way: BTreeMap<String, Adding>,
    /// In the order of the challenges given out.
    greetings: Vec<Greeting>,
    /// The peers that somebody has tried to add and that have not been up since.
    pub(super) attempts: Attempts,
    /// The peers that did not answer and are to be added again.
    pub(super) revivals: Revivals,
    /// The lookups of the host names of peers that do not answer.
    pub(super) lookups: Lookups,
    /// The last knock that was refused.
    refusal: Option<Refusal>,
    /// The changes of the database that are being applied.
    pub(super) applying: Option<Applying>,
}

impl Additions {
    /// Whether a peer is being added.
    pub(super) fn is_under_way(&self, name: &str) -> bool {
        self.under_way.contains_key(name)
    }

    /// The peers that are being added for `--startup` and would not be added again otherwise. The
    /// server gives that up if core ends.
    pub(super) fn for_startup<'a>(
        &'a self,
        database: &'a Database,
    ) -> impl Iterator<Item = &'a str> {
        self.under_way
            .iter()
            .filter(|(_, addition)| addition.requesters.contains(&Requester::Startup))
            .map(|(name, _)| &**name)
            .filter(|name| comes_back(database, name).is_none())
    }

    /// The peers that the next core is to add again if this one ends now: those that wait, and
    /// those that the service is adding by itself, whose answer would come to nobody.
    pub(super) fn revivals_left(&self, database: &Database) -> Vec<SavedRevival> {
        let mut left = self.revivals.save();
        let by_itself =
            |requester: &Requester| matches!(requester, Requester::Startup | Requester::Lookup(_));
        for (name, addition) in &self.under_way {
            if addition.requesters.iter().any(by_itself)
                && comes_back(database, name).is_some()
                && self.revivals.get(name).is_none()
            {
                left.push(SavedRevival::begun(name, PeerId(left.len() as u64)));
            }
        }
        left
    }

    /// Another database is in use: forgets the peers without a record, or whose record differs.
    pub(super) fn database_read(&mut self, database: &Database, now: Monotonic) {
        self.attempts.keep_recorded(database);
        self.lookups.keep_recorded(database);
        self.revivals.database_read(database, now);
    }

    /// A requester is gone, so it is not told the result of an addition.
    pub(super) fn forget(&mut self, is_gone: &dyn Fn(&Requester) -> bool) {
        for addition in self.under_way.values_mut() {
            addition.requesters.retain(|requester| !is_gone(requester));
        }
    }

    /// How many requesters wait for the result of an addition.
    #[cfg(test)]
    pub(super) fn requesters(&self) -> usize {
        self.under_way.values().map(|it| it.requesters.len()).sum()
    }

    /// How many peers are being added, and how many greetings are waited for.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.under_way.len(), self.greetings.len())
    }

    /// When a wait for a greeting ends, or the next change is to be applied.
    pub(super) fn deadline(&self, now: Monotonic) -> Option<Monotonic> {
        let greetings = self.greetings.iter().map(|greeting| greeting.deadline);
        let applying = self.applying.as_ref().filter(|it| it.has_more());
        greetings
            .chain(applying.map(|_| now))
            .chain(self.lookups.deadline())
            .min()
    }
}

/// A `passive` command that waits for its greeting.
#[derive(Clone, Debug)]
struct Greeting {
    challenge: String,
    /// Who asked.
    requester: Requester,
    /// The peer to be added.
    peer: String,
    /// When the wait ends.
    deadline: Monotonic,
}
