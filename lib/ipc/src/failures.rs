// SPDX-License-Identifier: GPL-3.0-or-later
//! What is remembered of a run of a script after its end, and which failures the script helper
//! keeps from one core to the next.
//!
//! Core says what the helper is to keep. The helper does not act on it, but for one thing: a script
//! that has ended well has no failure any more.

use serde::{Deserialize, Serialize};

use crate::clock::Monotonic;
use crate::control::RecentScript;
use crate::frame::{ITEMS_PER_FRAME, MAX_FRAME, length};
use crate::scripts::{Ended, ScriptKind};

/// The most bytes of a list; the rest of a message is for what stands round it.
const MAX_LIST: usize = MAX_FRAME - 256;

/// A run that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EndedRun {
    /// Whose script it was.
    pub peer: String,
    /// When it ended.
    pub at: Monotonic,
    /// Which script it was.
    pub kind: ScriptKind,
    /// How it ended.
    pub end: Ended,
    /// Its last lines.
    pub output: Vec<String>,
}

impl EndedRun {
    /// The run, for operators.
    #[must_use]
    pub fn report(&self, now: Monotonic) -> RecentScript {
        RecentScript {
            kind: self.kind,
            end: self.end.clone(),
            ago: now.since(self.at).as_secs(),
            output: self.output.clone(),
        }
    }

    /// Which script it was.
    #[must_use]
    pub fn key(&self) -> FailureKey {
        let (peer, kind) = (self.peer.clone(), self.kind);
        FailureKey { peer, kind }
    }
}

/// Which failure: there is at most one of each script of a peer, the latest.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureKey {
    /// The peer.
    pub peer: String,
    /// The script.
    pub kind: ScriptKind,
}

/// A change of what is to be kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureChange {
    /// A script did not end well.
    Failed(EndedRun),
    /// That does not count any more.
    Forgotten(FailureKey),
}

/// Changes of what is to be kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureChanges {
    /// Whether they are all there is, with those that follow: what was kept before is void.
    pub all: bool,
    /// The changes.
    pub changes: Vec<FailureChange>,
}

/// Cuts a list into parts that each fit into a message.
#[must_use]
pub fn parts<T: Serialize>(items: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for item in items {
        // One byte more is the comma between two.
        let length = length(&item) + 1;
        if part.len() == ITEMS_PER_FRAME || (size + length > MAX_LIST && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
        size += length;
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_fits_into_a_message() {
        assert_eq!(parts::<u8>([]), [[0; 0]; 0]);
        let lengths =
            |items: Vec<String>| -> Vec<usize> { parts(items).iter().map(Vec::len).collect() };
        let many = vec!["x".to_owned(); 2 * ITEMS_PER_FRAME + 1];
        assert_eq!(lengths(many), [ITEMS_PER_FRAME, ITEMS_PER_FRAME, 1]);
        let large = vec!["x".repeat(MAX_FRAME / 3); 4];
        for part in parts(large.clone()) {
            assert!(length(&part) <= MAX_LIST + 1);
        }
        assert_eq!(lengths(large), [2, 2]);
    }
}
