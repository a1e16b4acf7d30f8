// SPDX-License-Identifier: GPL-3.0-or-later
//! Runs that only the journal knows: their scripts were ended before they wrote anything.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;

use crate::history::{Noted, NotedKind, ScriptRun, Source};

/// A start of a script that an observer was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Which script.
    pub kind: ScriptKind,
    /// Its process number.
    pub pid: i32,
    /// When the observer was told.
    pub at: Monotonic,
}

/// How long before the observer was told the script may have started: a process number may come
/// again later.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Adds what only an observer was told to the runs of a peer, which are in the order of time: the
/// start of a script that was ended before it wrote anything, while no journal could be kept.
pub fn complete_heard(runs: &mut Vec<ScriptRun>, heard: &[Heard]) {
    for heard in heard {
        let is_it = |run: &ScriptRun| {
            run.kind == heard.kind
                && run.pid == heard.pid
                && run.start.since(heard.at.before(TOLD_WITHIN)) > Duration::ZERO
        };
        if runs.iter().any(is_it) {
            continue;
        }
        let place = runs.iter().position(|run| run.start > heard.at);
        let place = place.unwrap_or(runs.len());
        // The runs of a lane are numbered in the order of their starts.
        let mut before = runs.get(..place).unwrap_or_default().iter();
        let before = before.rfind(|run| run.kind.lane() == heard.kind.lane());
        let run = ScriptRun {
            kind: heard.kind,
            number: before.and_then(|run| run.number).map(|number| number + 1),
            pid: heard.pid,
            start: heard.at,
            end: None,
            beside_another: false,
            source: Source::Journal,
        };
        runs.insert(place, run);
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_only_an_observer_was_told_is_added_in_its_place() {
        let second = 1_000_000_000;
        let at = |seconds: u64| Monotonic(seconds * second);
        let run = |kind, number, pid, start| ScriptRun {
            kind,
            number: Some(number),
            pid,
            start: at(start),
            end: None,
            beside_another: false,
            source: Source::Script,
        };
        let heard = |kind, pid, seconds| Heard {
            kind,
            pid,
            at: at(seconds),
        };
        let mut runs = vec![
            run(ScriptKind::Disconnect, 5, 70, 100),
            run(ScriptKind::Disconnect, 9, 72, 110),
        ];
        let told = [
            heard(ScriptKind::Disconnect, 70, 100),
            heard(ScriptKind::Connect, 71, 105),
            heard(ScriptKind::Disconnect, 72, 111),
            // The same process number again, much later.
            heard(ScriptKind::Disconnect, 70, 300),
        ];
        complete_heard(&mut runs, &told);
        let found: Vec<_> = runs.iter().map(|run| (run.number, run.pid)).collect();
        let wanted = [(5, 70), (6, 71), (9, 72), (10, 70)];
        assert_eq!(found, wanted.map(|(number, pid)| (Some(number), pid)));
    }
}
