// SPDX-License-Identifier: GPL-3.0-or-later
//! Runs that only the journal knows: their scripts were ended before they wrote anything.

use std::collections::BTreeMap;

use crate::history::{Noted, NotedKind, ScriptRun, Source};

/// Adds what only the journal knows, by number, to the runs of a peer. When exactly a child was
/// made is not known: not after the entry was read, and not after a later script was started.
pub fn complete(runs: &mut Vec<ScriptRun>, noted: &BTreeMap<u64, Noted>) {
    for (number, noted) in noted {
        if runs.iter().any(|run| run.number == Some(*number)) {
            continue;
        }
        let (source, pid) = match noted.what {
            NotedKind::Started { pid } => (Source::Journal, pid),
            NotedKind::Made => (Source::Setup, 0),
        };
        let is_later =
            |run: &&ScriptRun| run.kind.lane() == noted.kind.lane() && run.number > Some(*number);
        let later = runs.iter().filter(is_later).map(|run| run.start).min();
        let start = later.map_or(noted.seen, |later| later.min(noted.seen));
        let place = runs.iter().position(|run| {
            run.start > start || (run.start == start && run.number > Some(*number))
        });
        let run = ScriptRun {
            kind: noted.kind,
            number: Some(*number),
            pid,
            start,
            end: None,
            beside_another: false,
            source,
        };
        runs.insert(place.unwrap_or(runs.len()), run);
    }
}
