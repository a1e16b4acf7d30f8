// SPDX-License-Identifier: GPL-3.0-or-later
//! The runs of one lane by themselves: a number that was run twice, two at a time, and numbers that
//! came in another order.

use std::collections::BTreeSet;

use connect_ipc::setup::Lane;

use crate::history::{PeerHistory, ScriptRun, Source};
use crate::{Finding, Row};

/// The runs of a lane in their right order, each number once.
pub(crate) fn runs_of<'a>(
    history: &'a PeerHistory,
    lane: Lane,
    findings: &mut Vec<Finding>,
) -> Vec<&'a ScriptRun> {
    let runs = history.runs.iter().filter(|run| run.kind.lane() == lane);
    let mut runs: Vec<&ScriptRun> = runs.collect();
    let is_script = |run: &&&ScriptRun| run.source != Source::Setup;
    overlaps(
        &runs.iter().filter(is_script).copied().collect::<Vec<_>>(),
        findings,
    );
    repetitions(&mut runs, findings);
    inversions(
        &runs.iter().filter(is_script).copied().collect::<Vec<_>>(),
        findings,
    );
    if runs.iter().all(|run| run.number.is_some()) {
        runs.sort_by_key(|run| run.number);
    }
    runs
}

/// Finds scripts that started while another was under way.
fn overlaps(runs: &[&ScriptRun], findings: &mut Vec<Finding>) {
    for (index, run) in runs.iter().enumerate() {
        let earlier = &runs[..index];
        let unended = earlier
            .iter()
            .rfind(|other| other.end.is_some_and(|end| end > run.start));
        let text = match unended {
            Some(other) => format!("{} started while {} ran", named(run), named(other)),
            None if run.beside_another => {
                format!(
                    "{} started while another script of its lane ran",
                    named(run)
                )
            }
            None => continue,
        };
        findings.push(Finding {
            row: Row::Overlapping,
            at: run.start,
            text,
        });
    }
}

/// Finds and takes out the runs whose number was run before.
fn repetitions(runs: &mut Vec<&ScriptRun>, findings: &mut Vec<Finding>) {
    let mut known = BTreeSet::new();
    runs.retain(|run| {
        let Some(number) = run.number else {
            return true;
        };
        let first = known.insert(number);
        if !first {
            findings.push(Finding {
                row: Row::Doubled,
                at: run.start,
                text: format!("{} was started before", named(run)),
            });
        }
        first
    });
}

/// Finds the runs that started after one with a greater number.
fn inversions(runs: &[&ScriptRun], findings: &mut Vec<Finding>) {
    let mut last: Option<&ScriptRun> = None;
    for run in runs {
        if let Some(last) = last.filter(|last| last.number > run.number && run.number.is_some()) {
            findings.push(Finding {
                row: Row::OutOfOrder,
                at: run.start,
                text: format!("{} started after {}", named(run), named(last)),
            });
            continue;
        }
        last = Some(run);
    }
}

/// A run in words.
pub(crate) fn named(run: &ScriptRun) -> String {
    match run.number {
        Some(number) => format!("{} (run {number}, process {})", run.kind.name(), run.pid),
        None => format!("{} (process {})", run.kind.name(), run.pid),
    }
}
