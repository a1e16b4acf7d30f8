// SPDX-License-Identifier: GPL-3.0-or-later
//! The account of what the server had and the service said, peer by peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use connect_ipc::clock::Monotonic;

use crate::told::ToldOf;
use judge::history::{Cause, CauseKind, Certainty, Span};

/// A note on a command that was given shortly before the server died may have reached the service
/// and not us. How many commands, and in what time: far more than the server has under way, also
/// after it was suspended.
const LAST_COMMANDS: usize = 128;
const LAST_TIME: Duration = Duration::from_secs(5);

/// For which peers the service may have no record at the moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum WithoutRecord {
    #[default]
    None,
    One(String),
    All,
}

impl WithoutRecord {
    /// Whether it may be without this peer's.
    pub(crate) fn includes(&self, peer: &str) -> bool {
        match self {
            WithoutRecord::None => false,
            WithoutRecord::One(name) => name == peer,
            WithoutRecord::All => true,
        }
    }
}

/// The account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The peers that the server has.
    pub(crate) present: BTreeSet<String>,
    pub(crate) causes: BTreeMap<String, Vec<Cause>>,
    pub(crate) told: ToldOf,
    pub(crate) without_record: WithoutRecord,
    /// The peers that the service adds by itself.
    pub(crate) automatic: BTreeSet<String>,
    /// When the server was started last.
    pub(crate) server_started: Monotonic,
    /// When the server was killed, if nothing was noticed of that yet.
    pub(crate) server_killed: Option<Monotonic>,
    /// Whether nothing can be missed now.
    pub(crate) watching: bool,
    /// The watcher's number at the server.
    pub(crate) watcher: Option<String>,
    /// When something happened last.
    pub(crate) last_change: Monotonic,
    pub(crate) additions: u64,
    commanded: VecDeque<String>,
}

impl Account {
    /// Nothing has happened yet. The service adds these peers by itself.
    pub(crate) fn new(automatic: impl Iterator<Item = String>) -> Self {
        Account {
            automatic: automatic.collect(),
            ..Account::default()
        }
    }

    /// A command about this peer is about to be sent.
    pub(crate) fn command(&mut self, peer: &str) {
        if self.commanded.len() == LAST_COMMANDS {
            self.commanded.pop_front();
        }
        self.commanded.push_back(peer.to_owned());
    }

    /// The server has a peer.
    pub(crate) fn added(&mut self, peer: &str, when: Span) {
        let certainty = if self.without_record.includes(peer) {
            Certainty::WithoutRecord
        } else {
            Certainty::Certain
        };
        self.additions += 1;
        self.present.insert(peer.to_owned());
        self.note(peer, CauseKind::Added, when, certainty);
    }

    /// The server does not have a peer any more.
    pub(crate) fn removed(&mut self, peer: &str, when: Span) {
        self.present.remove(peer);
        self.note(peer, CauseKind::Removed, when, Certainty::Certain);
    }

    /// The service reconnects a peer.
    pub(crate) fn reconnecting(&mut self, peer: &str, when: Span) {
        self.note(peer, CauseKind::Reconnecting, when, Certainty::Certain);
    }

    /// The server has named all its peers, first thing after the watcher had come.
    pub(crate) fn listed(&mut self, peers: &[String], now: Monotonic) {
        let when = Span {
            from: self.server_started,
            to: now,
        };
        for peer in peers {
            if !self.present.contains(peer) {
                self.added(peer, when);
            }
        }
        self.watching = true;
    }

    /// The server has died.
    pub(crate) fn server_died(&mut self, now: Monotonic) {
        self.watching = false;
        self.watcher = None;
        let from = self.server_killed.take().unwrap_or(now);
        let when = Span { from, to: now };
        let unsure: BTreeSet<String> = self.commanded.drain(..).collect();
        let recently = Span {
            from: from.before(LAST_TIME),
            to: now,
        };
        let present = std::mem::take(&mut self.present);
        for peer in unsure.union(&self.automatic.clone()) {
            let (first, second) = match (present.contains(peer), unsure.contains(peer)) {
                (true, true) => (CauseKind::Removed, CauseKind::Added),
                (true, false) => continue,
                (false, _) => (CauseKind::Added, CauseKind::Removed),
            };
            self.note(peer, first, recently, Certainty::LastMoment);
            self.note(peer, second, recently, Certainty::LastMoment);
        }
        for peer in present {
            self.note(&peer, CauseKind::Removed, when, Certainty::Certain);
        }
    }

    fn note(&mut self, peer: &str, kind: CauseKind, when: Span, certainty: Certainty) {
        let causes = self.causes.entry(peer.to_owned()).or_default();
        causes.push(Cause {
            kind,
            when,
            certainty,
        });
        self.last_change = self.last_change.max(when.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Span {
        Span {
            from: Monotonic(at),
            to: Monotonic(at),
        }
    }

    fn kinds(account: &Account, peer: &str) -> Vec<(CauseKind, Certainty)> {
        let causes = account.causes.get(peer).into_iter().flatten();
        causes.map(|cause| (cause.kind, cause.certainty)).collect()
    }

    #[test]
    fn the_death_of_the_server_removes_every_peer() {
        let mut account = Account::default();
        account.added("a", at(1));
        account.added("b", at(2));
        account.removed("b", at(3));
        account.server_died(Monotonic(4));
        assert!(account.present.is_empty());
        let pair = [CauseKind::Added, CauseKind::Removed].map(|kind| (kind, Certainty::Certain));
        assert_eq!(kinds(&account, "a"), pair);
        assert_eq!(kinds(&account, "b"), pair);
    }

    #[test]
    fn commands_of_the_last_moment_may_have_been_carried_out() {
        let mut account = Account::default();
        account.added("a", at(1));
        account.command("a");
        account.command("b");
        account.server_died(Monotonic(4));
        assert_eq!(kinds(&account, "a").len(), 4);
        let last = [CauseKind::Added, CauseKind::Removed].map(|kind| (kind, Certainty::LastMoment));
        assert_eq!(kinds(&account, "b"), last);
    }

    #[test]
    fn peers_that_the_new_server_lists_were_added() {
        let mut account = Account {
            without_record: WithoutRecord::One("a".to_owned()),
            ..Account::default()
        };
        account.listed(&["a".to_owned(), "b".to_owned()], Monotonic(3));
        assert_eq!(
            kinds(&account, "a"),
            [(CauseKind::Added, Certainty::WithoutRecord)]
        );
        assert_eq!(
            kinds(&account, "b"),
            [(CauseKind::Added, Certainty::Certain)]
        );
    }
}
