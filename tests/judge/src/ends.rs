// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts that were started and never wrote their end: something ended them. Scripts go on when
//! the process that has started them ends. Only a `connect` is ended by the service, when its peer
//! is removed or reconnected, or found to be another one.

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;

use crate::history::{CauseKind, PeerHistory, ScriptRun, Source};
use crate::order::named;
use crate::{Finding, Row};

/// Finds the scripts of a lane, in their order, that something ended which may not.
pub(crate) fn cut_short(history: &PeerHistory, runs: &[&ScriptRun], findings: &mut Vec<Finding>) {
    for (index, run) in runs.iter().enumerate() {
        let is_whole = run.end.is_some() || run.source == Source::Setup;
        if is_whole || (run.kind == ScriptKind::Connect && may_be_ended(history, runs, index)) {
            continue;
        }
        let missing = if run.source == Source::Script {
            "end"
        } else {
            "start"
        };
        findings.push(Finding {
            row: Row::CutShort,
            at: run.start,
            text: format!("{} never wrote its {missing}", named(run)),
        });
    }
}

/// Whether the service had a reason to end a `connect`. A script writes its start a moment after it
/// was started, and core may be suspended before it acts, so the reason may be older than the
/// start, or much older than the end.
fn may_be_ended(history: &PeerHistory, runs: &[&ScriptRun], index: usize) -> bool {
    let earlier = runs.get(..index).unwrap_or_default();
    let since = earlier.last().map_or(Monotonic(0), |run| run.start);
    let until = runs
        .get(index + 1)
        .map_or(Monotonic(u64::MAX), |run| run.start);
    history.causes.iter().any(|cause| {
        matches!(cause.kind, CauseKind::Removed | CauseKind::Reconnecting)
            && cause.when.to >= since
            && cause.when.from <= until
    })
}
