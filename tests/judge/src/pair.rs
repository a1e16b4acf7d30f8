// SPDX-License-Identifier: GPL-3.0-or-later
//! Compares the runs of one pair of scripts with their causes, in one pass.
//!
//! The scripts of a pair have to take turns: `ifup` and `ifdown`, `connect` and `disconnect`,
//! `on-up` and `on-down`. Each run needs a cause of its own, and the causes come in the order of
//! the runs: for `ifup` that the peer was added, for `ifdown` that it was removed, for `on-up` that
//! it answers, for `on-down` that it does not answer any more. A run may skip two causes (the peer
//! was added and removed), because core sees several changes during an outage as one. So each run
//! takes the earliest cause that is left and fits. If this cause came after the run was started,
//! all later ones did too.
//!
//! If a record names no `ifup`, the setup that the service notes counts as the run of `ifup`. If
//! that was not noted, the addition of the peer counts as it. A peer that the service found is set
//! up already.

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::Pair;

use crate::history::{Asked, Cause, CauseKind, Certainty, PeerHistory, ScriptRun, Source, Told};
use crate::order::named;
use crate::{Finding, Row};

/// How many readings of one history are compared: few runs of a peer are an operator's, and nobody
/// knows of few of them whether they are.
const READINGS: u32 = 1_000;

/// The walk through the runs of a pair.
#[derive(Clone)]
struct Walk<'a> {
    pair: Pair,
    make: ScriptKind,
    undo: ScriptKind,
    causes: &'a [Cause],
    /// The first cause that is left.
    next_cause: usize,
    /// The messages of the service that a script is lost, if they have excused nothing yet.
    told: Vec<&'a Told>,
    /// The last script that ran, or of which the service said that it is lost, and when that was at
    /// the earliest.
    last: Option<(ScriptKind, Monotonic)>,
    /// Whether there is no script that makes the setup.
    only_undone: bool,
    /// The runs that operators have requested and of which they heard no start, without those that
    /// were taken for one of theirs.
    asked: Vec<&'a Asked>,
}

/// Compares the runs with their causes, and the last one with what the server has at the end.
pub(crate) fn walk(
    history: &PeerHistory,
    pair: Pair,
    (runs, asked): (&[&ScriptRun], Vec<&Asked>),
    findings: &mut Vec<Finding>,
) {
    let [make, undo] = pair.scripts();
    let mut walk = Walk {
        pair,
        make,
        undo,
        causes: &history.causes,
        next_cause: 0,
        told: history.told.iter().collect(),
        last: None,
        only_undone: pair != Pair::Hooks && *history.only_undone.get(pair.lane()),
        asked,
    };
    if history.before_service && pair != Pair::Hooks {
        // It was added before, and counts as set up.
        walk.take(make, None);
        walk.last = Some((make, Monotonic(0)));
    }
    let mut readings = READINGS;
    findings.extend(walk.compare_rest(runs, &mut readings));
}

impl Walk<'_> {
    /// Compares the runs that are left with their causes, and the last one with what the server
    /// has. A run that an operator may have requested belongs to the operator or has a cause of its
    /// own: the reading with the fewest findings counts, of as many readings as are left.
    fn compare_rest(mut self, runs: &[&ScriptRun], readings: &mut u32) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let later = &runs[index + 1..];
            if run.source == Source::Setup {
                self.note_setup(run);
                continue;
            }
            let operators = self.without_request(run);
            findings.extend(self.hold(run, later));
            let Some(operators) = operators.filter(|_| *readings > 0) else {
                continue;
            };
            let mut own = self.compare_rest(later, readings);
            if !(findings.is_empty() && own.is_empty()) {
                *readings = readings.saturating_sub(1);
                let others = operators.compare_rest(later, readings);
                if others.len() < findings.len() + own.len() {
                    return others;
                }
            }
            findings.append(&mut own);
            return findings;
        }
        findings.extend(self.finish());
        findings
    }

    /// What is left if an operator has requested this run, which then changes nothing. `None` if no
    /// operator has.
    fn without_request(&self, run: &ScriptRun) -> Option<Self> {
        let is_meant = |asked: &&Asked| asked.kind == run.kind && asked.at <= run.start;
        let index = self.asked.iter().position(is_meant)?;
        let mut rest = self.clone();
        rest.asked.remove(index);
        Some(rest)
    }

    /// The setup was made without a script. If the service notes it again, as after a change of the
    /// peer's address, it is the same setup.
    fn note_setup(&mut self, run: &ScriptRun) {
        let is_made = self.last.is_some_and(|(kind, _)| kind == self.make);
        if self.only_undone
            && !is_made
            && let Some(cause) = self.take(self.make, Some(run.start))
        {
            self.last = Some((self.make, cause));
        }
    }

    /// Compares a run with its causes.
    fn hold(&mut self, run: &ScriptRun, later: &[&ScriptRun]) -> Option<Finding> {
        let finding = |row, text| {
            Some(Finding {
                row,
                at: run.start,
                text,
            })
        };
        let kind = run.kind;
        let turn = match self.last {
            Some((last, _)) => last != kind,
            None => kind == self.make,
        };
        let right = turn
            || self.is_reconnection(run)
            || self.was_not_noted(run)
            || self.had_no_record(run)
            || self.is_excused(kind, later);
        if !right {
            if self.last.is_some() {
                let (kind, other) = (kind.name(), self.other(kind).name());
                let text = format!("{}: {kind} twice without {other} between", named(run));
                return finding(Row::Doubled, text);
            }
            let make = self.make.name();
            let text = format!("{} started before any {make}", named(run));
            self.take(self.undo, Some(run.start));
            self.last = Some((kind, run.start));
            return finding(Row::OutOfOrder, text);
        }
        self.last = Some((kind, run.start));
        if let Some(cause) = self.take(kind, Some(run.start)) {
            // The journal tells what was started, and not when.
            if run.source == Source::Journal {
                self.last = Some((kind, cause));
            }
            return None;
        }
        let cause = match (self.pair, kind == self.make) {
            (Pair::Hooks, true) => "the peer has not come to answer again",
            (Pair::Hooks, false) => "the peer has not ceased to answer again",
            (_, true) => "the server has not added the peer again",
            (_, false) => "the server has not removed the peer again",
        };
        finding(
            Row::Doubled,
            format!("{} has no cause of its own: {cause}", named(run)),
        )
    }

    /// The script that undoes what this one makes, or the other way around.
    fn other(&self, kind: ScriptKind) -> ScriptKind {
        if kind == self.make {
            self.undo
        } else {
            self.make
        }
    }

    /// The script of the pair that is run for a cause.
    fn script_for(&self, cause: CauseKind) -> Option<ScriptKind> {
        let has_hooks = self.pair == Pair::Hooks;
        match cause {
            CauseKind::Added => (!has_hooks).then_some(self.make),
            CauseKind::Removed => Some(self.undo),
            CauseKind::Reconnecting => {
                (self.pair == Pair::Connection).then_some(ScriptKind::Connect)
            }
            CauseKind::Answered => has_hooks.then_some(self.make),
            CauseKind::Unreachable => has_hooks.then_some(self.undo),
        }
    }

    /// Takes the earliest cause that is left for a script of this kind, and gives its earliest
    /// instant. It must have come before `start`, if that is known.
    fn take(&mut self, kind: ScriptKind, start: Option<Monotonic>) -> Option<Monotonic> {
        let left = self.causes.iter().enumerate().skip(self.next_cause);
        let mut fitting = left.filter(|(_, cause)| self.script_for(cause.kind) == Some(kind));
        let in_time = |cause: &Cause| start.is_none_or(|start| cause.when.from <= start);
        if let Some((index, cause)) = fitting.next()
            && in_time(cause)
        {
            self.next_cause = index + 1;
            return Some(cause.when.from);
        }
        None
    }

    /// Whether a `connect` follows another because the peer is being reconnected.
    fn is_reconnection(&self, run: &ScriptRun) -> bool {
        let next = self.causes.get(self.next_cause);
        run.kind == ScriptKind::Connect
            && next.is_some_and(|cause| {
                cause.kind == CauseKind::Reconnecting && cause.when.from <= run.start
            })
    }

    /// Whether the setup that this run undoes was made without a script, and the service ended
    /// before it could note the setup.
    fn was_not_noted(&mut self, run: &ScriptRun) -> bool {
        let is_undone = self.only_undone && run.kind == self.undo;
        is_undone && self.take(self.make, Some(run.start)).is_some()
    }

    /// Whether the script that makes the setup could not run before this run, since the service may
    /// not have had the record when the peer was added.
    fn had_no_record(&mut self, run: &ScriptRun) -> bool {
        let mut left = self.causes[self.next_cause..].iter();
        let found = run.kind == self.undo
            && left.any(|cause| {
                cause.kind == CauseKind::Added
                    && cause.certainty == Certainty::WithoutRecord
                    && cause.when.from <= run.start
            });
        if found {
            self.take(self.make, None);
        }
        found
    }

    /// Whether the service has said that the script is lost that should have run before this one.
    fn is_excused(&mut self, kind: ScriptKind, later: &[&ScriptRun]) -> bool {
        let missing = self.other(kind);
        let since = self.last.map_or(Monotonic(0), |(_, start)| start);
        let next = later.iter().find(|run| run.kind == missing);
        let until = next.map_or(Monotonic(u64::MAX), |run| run.start);
        let excused = self.use_told(missing, since, until);
        if excused {
            // The run that was lost had a cause as well.
            self.take(missing, None);
        }
        excused
    }

    /// Finds a message of the service, from this time, that a script of this kind is lost. Removes
    /// it, so that it excuses one script only.
    fn use_told(&mut self, kind: ScriptKind, since: Monotonic, until: Monotonic) -> bool {
        let found = self
            .told
            .iter()
            .position(|told| told.kind == kind && told.when.to >= since && told.when.from <= until);
        if let Some(index) = found {
            self.told.remove(index);
        }
        found.is_some()
    }

    /// Compares the last script with what the server has.
    fn finish(&mut self) -> Option<Finding> {
        let counts = |cause: &&Cause| {
            cause.kind != CauseKind::Reconnecting
                && cause.certainty != Certainty::LastMoment
                && self.script_for(cause.kind).is_some()
        };
        let cause = self.causes.iter().rfind(counts)?;
        let is_made = self.last.is_some_and(|(kind, _)| kind == self.make);
        let wanted = self.script_for(cause.kind) == Some(self.make);
        let missing = if wanted { self.make } else { self.undo };
        if wanted == is_made {
            return None;
        }
        if wanted && (self.only_undone || cause.certainty == Certainty::WithoutRecord) {
            return None;
        }
        let since = self.last.map_or(Monotonic(0), |(_, start)| start);
        if self.use_told(missing, since, Monotonic(u64::MAX)) {
            return None;
        }
        let state = match (self.pair, wanted) {
            (Pair::Hooks, true) => "the peer answers, and its",
            (Pair::Hooks, false) => "the peer is gone or does not answer, and its",
            (_, true) => "the server has the peer, whose",
            (_, false) => "the server does not have the peer, whose",
        };
        let last = self.last.map_or("none", |(kind, _)| kind.name());
        Some(Finding {
            row: Row::Lost,
            at: cause.when.to,
            text: format!("{} is lost: {state} last script is {last}", missing.name()),
        })
    }
}
