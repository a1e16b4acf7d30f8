// SPDX-License-Identifier: GPL-3.0-or-later
//! Peers of the start-up list that were removed because they did not answer, or could not be added
//! at start-up, and are added again (key `when-dead` = `retry`).
//!
//! ```text
//!   removed for silence --> Waiting --due--> Adding --added--> Added --removed for silence-->+
//!                              ^                |                                           |
//!                              +----failed------+<-------------- a longer pause -----------+
//! ```
//!
//! This ends when somebody else adds the peer, when it is removed for another reason, and when its
//! record is removed or does not ask for it any more. If the record changes in another way, the
//! next attempt is made at once. Once the peer has answered, or the record has changed, the pauses
//! begin with the shortest again.

use std::collections::{BTreeMap, BTreeSet};

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_policy::pinging::{WhenDead, is_watched};
use peerdb::{Database, Record};
use serde::{Deserialize, Serialize};

/// What happens next with one peer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// The peer is added at this instant.
    Waiting(Monotonic),
    /// The server was told to add it.
    Adding,
    /// The server has it.
    Added,
}

/// One peer.
#[derive(Clone, Debug)]
pub(super) struct Revival {
    pub(super) stage: Stage,
    /// How often in a row it was removed, or could not be added.
    pub(super) failures: u32,
    /// Its last number, which determines the random part of the pause.
    pub(super) id: PeerId,
    /// The record that it has.
    pub(super) record: Record,
    /// Why it could not be added, if the last attempt failed.
    pub(super) failure: Option<Vec<String>>,
}

/// One peer, as one core leaves it for the next.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::machine) struct SavedRevival {
    pub(in crate::machine) name: Box<str>,
    stage: Stage,
    failures: u32,
    id: PeerId,
}

impl SavedRevival {
    /// A peer whose first addition is under way. `id` spreads the attempts of many.
    pub(super) fn begun(name: &str, id: PeerId) -> Self {
        SavedRevival {
            name: name.into(),
            stage: Stage::Adding,
            failures: 0,
            id,
        }
    }

    /// Somebody has added the peer meanwhile. Returns whether it is still to be added again if it
    /// does not answer.
    pub(in crate::machine) const fn note_added(&mut self) -> bool {
        let goes_on = !matches!(self.stage, Stage::Waiting(_));
        if goes_on {
            self.stage = Stage::Added;
        }
        goes_on
    }

    /// The peer is gone again. It is to be added at `now` at the earliest.
    pub(in crate::machine) const fn note_gone(&mut self, now: Monotonic) {
        self.stage = Stage::Waiting(now);
    }
}

/// All peers that are added again, at most one for each record of the start-up list.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Revivals {
    by_name: BTreeMap<Box<str>, Revival>,
    /// Those that wait, by the time of their next attempt.
    due: BTreeSet<(Monotonic, Box<str>)>,
}

/// The record of a peer, if it asks that the peer is added again when it does not answer. Whether a
/// peer answers is known only of one that is watched.
pub(super) fn comes_back<'a>(database: &'a Database, name: &str) -> Option<&'a Record> {
    let wants = |record: &&Record| is_watched(record) && WhenDead::of(record) == WhenDead::Retry;
    let record = database.peer(name).filter(wants);
    record.filter(|_| database.is_auto(name))
}

impl Revivals {
    /// Sets the stage of a peer.
    pub(super) fn set(&mut self, name: &str, revival: Revival) {
        self.end(name);
        if let Stage::Waiting(at) = revival.stage {
            self.due.insert((at, name.into()));
        }
        self.by_name.insert(name.into(), revival);
    }

    /// Ends the attempts for a peer.
    pub(super) fn end(&mut self, name: &str) {
        if let Some(revival) = self.by_name.remove(name)
            && let Stage::Waiting(at) = revival.stage
        {
            self.due.remove(&(at, name.into()));
        }
    }

    /// Moves a peer to another stage.
    pub(super) fn enter(&mut self, name: &str, stage: Stage) {
        if let Some(mut revival) = self.by_name.get(name).cloned() {
            revival.stage = stage;
            self.set(name, revival);
        }
    }

    /// The server has a peer: we have added it, or somebody else.
    pub(in crate::machine) fn added(&mut self, name: &str) {
        match self.by_name.get(name).map(|revival| revival.stage) {
            Some(Stage::Waiting(_)) => self.end(name),
            Some(Stage::Adding | Stage::Added) => self.enter(name, Stage::Added),
            None => {}
        }
    }

    /// The last attempt to add a peer failed with these words.
    pub(in crate::machine) fn note_failure(&mut self, name: &str, words: Vec<String>) {
        if let Some(revival) = self.by_name.get_mut(name) {
            revival.failure = Some(words);
        }
    }

    /// Why the last attempt to add a peer failed, if it did.
    pub(in crate::machine) fn failure(&self, name: &str) -> Option<&Vec<String>> {
        self.by_name.get(name)?.failure.as_ref()
    }

    /// The stage of a peer.
    pub(super) fn get(&self, name: &str) -> Option<&Revival> {
        self.by_name.get(name)
    }

    /// The next peer to be added, and when.
    pub(super) fn next(&self) -> Option<&(Monotonic, Box<str>)> {
        self.due.first()
    }

    /// When a peer is added again, if it waits for that.
    pub(in crate::machine) fn due(&self, name: &str) -> Option<Monotonic> {
        match self.by_name.get(name)?.stage {
            Stage::Waiting(at) => Some(at),
            Stage::Adding | Stage::Added => None,
        }
    }

    /// Ends the attempts for peers whose record does not ask for them any more. Where the record
    /// has changed otherwise, the reason why the peer did not answer may be gone.
    pub(super) fn database_read(&mut self, database: &Database, now: Monotonic) {
        let changed = self.by_name.iter().filter(|(name, revival)| {
            !database.is_auto(name) || database.peer(name) != Some(&revival.record)
        });
        let changed: Vec<(Box<str>, Revival)> = changed
            .map(|(name, revival)| (name.clone(), revival.clone()))
            .collect();
        for (name, revival) in changed {
            let Some(record) = comes_back(database, &name) else {
                self.end(&name);
                continue;
            };
            let stage = match revival.stage {
                Stage::Waiting(_) => Stage::Waiting(now),
                stage => stage,
            };
            let revival = Revival {
                stage,
                failures: 0,
                record: record.clone(),
                ..revival
            };
            self.set(&name, revival);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// What the next core has to know.
    pub(in crate::machine) fn save(&self) -> Vec<SavedRevival> {
        let all = self.by_name.iter();
        all.map(|(name, revival)| SavedRevival {
            name: name.clone(),
            stage: revival.stage,
            failures: revival.failures,
            id: revival.id,
        })
        .collect()
    }

    /// Continues with what an earlier core has saved, for the peers that the database has.
    pub(in crate::machine) fn restore(
        &mut self,
        left: Vec<SavedRevival>,
        database: &Database,
        now: Monotonic,
    ) {
        for saved in left {
            let Some(record) = comes_back(database, &saved.name) else {
                continue;
            };
            let stage = match saved.stage {
                // The answer to the attempt is lost; if the server has the peer, that ends the
                // attempts.
                Stage::Adding => Stage::Waiting(now),
                stage => stage,
            };
            let revival = Revival {
                stage,
                failures: saved.failures,
                id: saved.id,
                record: record.clone(),
                failure: None,
            };
            self.set(&saved.name, revival);
        }
    }
}
