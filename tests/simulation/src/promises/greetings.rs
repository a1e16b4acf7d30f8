// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers core may add because somebody has greeted: those of `passive` commands that were not
//! answered or cancelled before the greeting with their challenge, whose time was not over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Moment, jobs};
use crate::instant::Instant;

/// How much later than its time a greeting may be heard: core hears and expires in one turn.
const MARGIN: Duration = Duration::from_secs(1);

/// A command `passive` that is not answered.
#[derive(Clone, Debug)]
struct Waiting {
    peer: String,
    /// How long it waits for its greeting.
    patience: Duration,
}

/// What is known of greetings on this connection.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    jobs: BTreeMap<String, Waiting>,
    /// The job that each challenge was given to, and when.
    challenges: BTreeMap<String, (String, Instant)>,
    /// The jobs that were greeted for, and their peers, which were not added for that yet.
    greeted: Vec<(String, String)>,
}

impl Greetings {
    /// A job is given.
    pub(super) fn given(&mut self, now: &Moment<'_>, id: &str, words: &[String]) {
        if let Some(patience) = jobs::patience(words)
            && let Some(peer) = words.last().and_then(|user| now.records.users.get(user))
        {
            let peer = peer.clone();
            self.jobs.insert(id.to_owned(), Waiting { peer, patience });
        }
    }

    /// A job is told this challenge, if it is one of these.
    pub(super) fn told(&mut self, at: Instant, id: &str, challenge: &str) {
        if self.jobs.contains_key(id) {
            let given = (id.to_owned(), at);
            self.challenges.insert(challenge.to_owned(), given);
        }
    }

    /// A job is answered: if its peer was added, that has begun.
    pub(super) fn answered(&mut self, id: &str) {
        self.cancelled(id);
        self.greeted.retain(|(job, _)| job != id);
    }

    /// A job is cancelled. An addition that has begun goes on.
    pub(super) fn cancelled(&mut self, id: &str) {
        self.jobs.remove(id);
        self.challenges.retain(|_, (job, _)| job != id);
    }

    /// Somebody has greeted.
    pub(super) fn greeted(&mut self, now: &Moment<'_>, challenge: &str) {
        if let Some((id, told)) = self.challenges.remove(challenge)
            && let Some(Waiting { peer, patience }) = self.jobs.get(&id)
            && now.at <= told.max(now.calm.since) + *patience + MARGIN
        {
            self.greeted.push((id, peer.clone()));
        }
    }

    /// Whether a peer may be added for a greeting.
    pub(super) fn has(&self, peer: &str) -> bool {
        self.greeted.iter().any(|(_, of)| of == peer)
    }

    /// A peer is added for a greeting.
    pub(super) fn take(&mut self, peer: &str) {
        let mut greeted = self.greeted.iter();
        if let Some(found) = greeted.position(|(_, of)| of == peer) {
            self.greeted.remove(found);
        }
    }
}
