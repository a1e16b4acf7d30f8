// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers an operator who has changes of the database applied may have removed and added: only
//! those that may differ from the database, and only as long as that goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use connect_core::machine::ConnectionId;
use connect_ipc::control::Request;
use tripe_admin::Note;

use super::Moment;
use super::jobs::LIMIT;
use super::tap::Fact;
use crate::instant::Instant;
use crate::plan::{DatabaseChange, Fault, OTHER_SITE, Part};
use crate::seen::Seen;

/// How long the database has been the same if each addition that is under way has its records.
const SAME: Duration = Duration::from_secs(120);

/// What is known of the changes and of those who have them applied.
#[derive(Debug, Default)]
pub(super) struct Applying {
    /// The requests that are not answered.
    open: BTreeSet<(ConnectionId, u64)>,
    /// Until when core completes what it had begun for operators who are gone.
    completes: Instant,
    /// When the last request was answered.
    answered: Instant,
    /// The peers whose record was ever another one.
    ever: BTreeSet<String>,
    /// Those whose record may be another one than what they were added with.
    changed: BTreeSet<String>,
    /// When the database, or what core knows of it, was another one last.
    since: Instant,
    /// Whether there may be no database that can be read, so that core uses an earlier one.
    is_unreadable: bool,
    /// Whether the site's database was put in place for the end.
    is_quiet: bool,
    /// The peers that core has removed, perhaps to add them again.
    removed: BTreeSet<String>,
}

impl Applying {
    /// Takes in what happens to core, to its database and to those who ask it.
    pub(super) fn see(&mut self, now: &Moment<'_>) {
        if !self.is_quiet && now.at >= now.records.quiet_from {
            self.is_quiet = true;
            self.is_unreadable = false;
            self.note_other(now.at);
        }
        match now.seen {
            Seen::Asked(connection, envelope) => {
                if let Request::ApplyChanges {} = envelope.request {
                    self.open.insert((*connection, envelope.id));
                }
            }
            Seen::Replied(connection, answer)
                if answer.reply.is_final() && self.open.remove(&(*connection, answer.id)) =>
            {
                self.answered = now.at;
            }
            Seen::Gone(connection) => {
                let before = self.open.len();
                self.open.retain(|(of, _)| of != connection);
                if self.open.len() < before {
                    self.completes = now.at + LIMIT;
                }
            }
            // The next core may have a state that is older than the last addition.
            Seen::Died(Part::Core) => {
                self.end();
                self.note_other(now.at);
            }
            Seen::Fault(Fault::Database { change }) => self.database(now, change),
            _ => {}
        }
        match now.fact {
            Some(Fact::Connected | Fact::Lost) => self.end(),
            Some(Fact::Sent(command)) if command.verb == "KILL" => {
                self.removed.insert(command.word(0).to_owned());
            }
            Some(Fact::Note(Note::Add { peer, .. })) => {
                let is_same = now.calm.has_lasted(now.at, SAME) && now.at >= self.since + SAME;
                if is_same && now.calm.is_whole() && !self.is_unreadable {
                    self.changed.remove(peer);
                }
            }
            _ => {}
        }
    }

    /// Nothing is being applied any more.
    fn end(&mut self) {
        self.open.clear();
        (self.completes, self.answered) = (Instant::default(), Instant::default());
    }

    /// The database may be another one: each record that was another one may be so again.
    fn note_other(&mut self, at: Instant) {
        self.since = at;
        self.changed.clone_from(&self.ever);
    }

    fn database(&mut self, now: &Moment<'_>, change: &DatabaseChange) {
        match change {
            DatabaseChange::Record { peer, .. }
            | DatabaseChange::Unwatched(peer, _)
            | DatabaseChange::Removed(peer)
            | DatabaseChange::New(peer) => {
                self.ever.insert(peer.clone());
            }
            DatabaseChange::OfOtherSite => {
                let ours = now.records.peers().map(str::to_owned);
                let others = OTHER_SITE.iter().map(|(peer, _)| (*peer).to_owned());
                self.ever.extend(ours.chain(others));
            }
            DatabaseChange::Broken | DatabaseChange::Missing | DatabaseChange::Back => {}
        }
        let unreadable = [DatabaseChange::Broken, DatabaseChange::Missing];
        self.is_unreadable = unreadable.contains(change);
        self.note_other(now.at);
    }

    /// Whether changes are being applied, or what the server reads now may come from that.
    fn goes_on(&self, now: &Moment<'_>) -> bool {
        !self.open.is_empty()
            || self.answered > Instant::default() && now.calm.may_cross(self.answered, now.at)
            || self.completes > Instant::default()
                && now.at <= self.completes.max(now.calm.since + LIMIT)
    }

    /// Whether a peer may be removed for that.
    pub(super) fn removes(&self, now: &Moment<'_>, peer: &str) -> bool {
        self.changed.contains(peer) && self.goes_on(now)
    }

    /// Whether a peer may be added for that: one whose record has changed, one that is added at
    /// start-up, or one that was removed to be added again and could not be.
    pub(super) fn adds(&self, now: &Moment<'_>, peer: &str) -> bool {
        let is_auto = || now.records.auto.iter().any(|name| name == peer);
        let may_differ = self.ever.contains(peer) || self.removed.contains(peer) || is_auto();
        may_differ && self.goes_on(now)
    }
}
