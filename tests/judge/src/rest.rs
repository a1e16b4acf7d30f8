// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether a script was lost before the end of a history. The walk through the runs of a pair
//! allows that a peer comes and goes without a run; here it is looked whether the service could
//! have run the scripts in between.
//!
//! ```text
//!   the server:   added ------------------------------------------ removed
//!   the service:  . . away |---- could run scripts ----------------| . .
//!   its lane:        ifdown ...|  nothing                          |
//!   another peer:                  GRACE / 2   added   ifup           -> the last one must be ifup
//! ```
//!
//! How slow a machine is nobody knows, so it is not enough that some time has passed: a script of
//! another peer, of the same kind, must have been started whose cause came later, and which was
//! ordered earlier than the script that is looked for, if that comes at all. Scripts wait for their
//! places in the order of their causes.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::{Lane, Pair};

use crate::history::{
    Asked, Cause, CauseKind, Certainty, Histories, PeerHistory, ScriptRun, Source, Span, Told,
};
use crate::{Finding, Row};

/// A time in which the service could run scripts says something only if it is so long.
pub const GRACE: Duration = Duration::from_secs(1);

/// A core that has come to the server goes through the peers that are there, and those that come
/// meanwhile may overtake them. This took two seconds where four runs shared two processors.
const SETTLED: Duration = Duration::from_secs(5);

/// If the service starts no script of any peer, this time is enough: ten times what the slowest
/// machine takes that was seen.
const LONG: Duration = Duration::from_secs(20);

/// That the service has run a script for a cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Handled {
    kind: ScriptKind,
    caused: Monotonic,
    started: Monotonic,
    number: Option<u64>,
}

/// When it was certain that a script is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Proof {
    at: Monotonic,
    /// The number of the script of another peer that shows it.
    number: Option<u64>,
}

/// What is known of the service as a whole.
#[derive(Clone, Debug, Default)]
pub struct Health {
    times: Vec<Span>,
    handled: Vec<Handled>,
}

impl Health {
    /// The service could run scripts in these times, and these are the histories of all peers.
    #[must_use]
    pub fn new(times: Vec<Span>, histories: &Histories) -> Self {
        let mut handled: Vec<Handled> = histories.values().flat_map(handled).collect();
        handled.sort_by_key(|handled| handled.started);
        Health { times, handled }
    }
}

/// The scripts of a peer, each with the earliest cause that it may have: the first one since the
/// script before it.
fn handled(history: &PeerHistory) -> Vec<Handled> {
    let mut all = Vec::new();
    for pair in [Pair::Interface, Pair::Connection] {
        let [make, _] = pair.scripts();
        let mut before = Monotonic(0);
        for run in history.runs.iter().filter(|run| run.kind.pair() == pair) {
            let wanted = if run.kind == make {
                CauseKind::Added
            } else {
                CauseKind::Removed
            };
            let mut causes = history.causes.iter();
            let cause = causes.find(|cause| cause.kind == wanted && cause.when.to > before);
            let cause = cause.filter(|cause| {
                cause.certainty == Certainty::Certain && cause.when.from <= run.start
            });
            before = run.start;
            if run.source == Source::Script {
                all.extend(cause.map(|cause| Handled {
                    kind: run.kind,
                    caused: cause.when.from,
                    started: run.start,
                    number: run.number,
                }));
            }
        }
    }
    all
}

/// Finds the scripts of a pair that were not started although the service could have, before the
/// server added or removed the peer again.
pub(crate) fn lost(
    history: &PeerHistory,
    pair: Pair,
    (runs, asked): (&[&ScriptRun], &[&Asked]),
    health: &Health,
    findings: &mut Vec<Finding>,
) {
    // A setup that no script makes is noted some time later, and may be noted again.
    if pair == Pair::Hooks || *history.only_undone.get(pair.lane()) {
        return;
    }
    let busy = busy(history, pair.lane());
    let look = Look {
        history,
        pair,
        runs,
        asked,
    };
    for (index, cause) in history.causes.iter().enumerate() {
        let later = history.causes.get(index + 1..).unwrap_or_default();
        let Some(stay) = stay(cause, later) else {
            continue;
        };
        let [make, undo] = pair.scripts();
        let is_added = cause.kind == CauseKind::Added;
        let missing = if is_added { make } else { undo };
        let idle = health.times.iter().flat_map(|time| {
            let settled = if is_new(history, index, time.from) {
                time.from
            } else {
                time.from + SETTLED
            };
            let both = Span {
                from: settled.max(stay.from),
                to: time.to.min(stay.to),
            };
            let both = Span {
                from: both.from.max(awaited(history, pair, cause)),
                ..both
            };
            idle(both, &busy)
        });
        let at = idle.filter_map(|idle| health.proof(missing, idle));
        let found = at.filter_map(|proof| look.lost_at(proof, cause)).next();
        findings.extend(found);
    }
}

impl Health {
    /// When it was certain, in a time in which a peer's lane was idle, that the service would have
    /// started a script of it.
    fn proof(&self, missing: ScriptKind, idle: Span) -> Option<Proof> {
        let of_lane = || {
            let handled = self.handled.iter();
            handled.filter(|handled| handled.kind.lane() == missing.lane())
        };
        // What makes a setup waits for answers of the server, and what undoes it does not.
        let later = of_lane().find(|handled| {
            handled.kind == missing
                && handled.caused >= idle.from + GRACE / 2
                && handled.started >= idle.from + GRACE
        });
        let proof = later.map(|handled| Proof {
            at: handled.started,
            number: handled.number,
        });
        let long = idle.from + LONG;
        let is_quiet = !of_lane().any(|it| idle.from < it.started && it.started <= long);
        let by_time = is_quiet.then_some(Proof {
            at: long,
            number: None,
        });
        by_time.or(proof).filter(|proof| proof.at <= idle.to)
    }
}

/// From when on nothing else has to be waited for: a connection command waits for the interface
/// script that its cause has too.
fn awaited(history: &PeerHistory, pair: Pair, cause: &Cause) -> Monotonic {
    let [make, undo] = Pair::Interface.scripts();
    let is_added = cause.kind == CauseKind::Added;
    let is_there = !is_added || !history.only_undone.interface;
    if pair != Pair::Connection || !is_there {
        return Monotonic(0);
    }
    let kind = if is_added { make } else { undo };
    let mut runs = history.runs.iter();
    let run = runs.find(|run| {
        run.kind == kind && run.source == Source::Script && run.start >= cause.when.from
    });
    run.and_then(|run| run.end).unwrap_or(Monotonic(u64::MAX))
}

/// Whether a cause is the first one of a peer since an instant, and nothing was to be done for the
/// peer then: the server did not have it, and it was not set up.
fn is_new(history: &PeerHistory, index: usize, since: Monotonic) -> bool {
    let is_later = |at: Span| at.to >= since;
    let (earlier, cause) = history.causes.split_at(index);
    let cause = cause.first();
    let is_added = cause.is_some_and(|it| it.kind == CauseKind::Added && it.when.from >= since);
    let was_gone = earlier
        .last()
        .is_none_or(|it| it.kind == CauseKind::Removed && !is_later(it.when));
    let mut runs = history.runs.iter().filter(|run| run.start <= since);
    let last = runs.rfind(|run| run.kind.pair() == Pair::Interface);
    let [make, _] = Pair::Interface.scripts();
    is_added && was_gone && last.is_none_or(|run| run.kind != make)
}

/// From when until when a cause says how the server has the peer; `None` if it does not say that.
fn stay(cause: &Cause, later: &[Cause]) -> Option<Span> {
    let changes = |cause: &&Cause| matches!(cause.kind, CauseKind::Added | CauseKind::Removed);
    let is_sure = cause.certainty != Certainty::LastMoment;
    let ends = later.iter().filter(changes).map(|cause| cause.when.from);
    (is_sure && changes(&cause)).then(|| Span {
        from: cause.when.to,
        to: ends.min().unwrap_or(Monotonic(u64::MAX)),
    })
}

/// When scripts were under way for which another one of this lane has to wait, in the order of
/// their starts. One that did not write its end may have lasted until the next one of its lane.
fn busy(history: &PeerHistory, lane: Lane) -> Vec<Span> {
    let awaits = |run: &&ScriptRun| lane == Lane::Connection || run.kind.lane() == lane;
    let end = |run: &ScriptRun| {
        let next = history.runs.iter().filter(|other| {
            other.kind.lane() == run.kind.lane()
                && other.start > run.start
                && other.source == Source::Script
        });
        let next = next.map(|other| other.start).min();
        run.end.or(next).unwrap_or(Monotonic(u64::MAX))
    };
    let scripts = history.runs.iter().filter(awaits);
    let scripts = scripts.filter(|run| run.source != Source::Setup);
    let mut busy: Vec<Span> = scripts
        .map(|run| Span {
            from: run.start,
            to: end(run),
        })
        .collect();
    busy.sort_by_key(|span| span.from);
    busy
}

/// The parts of a time in which none of these scripts was under way.
fn idle(time: Span, busy: &[Span]) -> Vec<Span> {
    let (mut parts, mut from) = (Vec::new(), time.from);
    for span in busy {
        parts.push(Span {
            from,
            to: span.from.min(time.to),
        });
        from = from.max(span.to);
    }
    parts.push(Span { from, to: time.to });
    parts.retain(|part| part.from < part.to);
    parts
}

/// What is looked at.
struct Look<'a> {
    history: &'a PeerHistory,
    pair: Pair,
    runs: &'a [&'a ScriptRun],
    asked: &'a [&'a Asked],
}

impl Look<'_> {
    /// What was lost if the last script by then is not the one that this cause is due.
    fn lost_at(&self, proof: Proof, cause: &Cause) -> Option<Finding> {
        let at = proof.at;
        let [make, undo] = self.pair.scripts();
        let mut scripts = self.runs.iter().filter(|run| run.source != Source::Setup);
        let last = scripts.rfind(|run| run.start <= at);
        let is_made = last.map_or(self.history.before_service, |run| run.kind == make);
        let wanted = cause.kind == CauseKind::Added;
        if wanted == is_made || (wanted && cause.certainty == Certainty::WithoutRecord) {
            return None;
        }
        let missing = if wanted { make } else { undo };
        // One that was ordered before may have written its start a little later.
        let mut later = self.runs.iter().filter(|run| run.start > at);
        let next = later.find(|run| run.kind == missing);
        let ordered = next.and_then(|run| run.number).zip(proof.number);
        if ordered.is_some_and(|(next, other)| next < other) {
            return None;
        }
        let since = last.map_or(Monotonic(0), |run| run.start);
        let excuses =
            |told: &Told| told.kind == missing && told.when.to >= since && told.when.from <= at;
        // The last one may be an operator's, and change nothing.
        let is_meant = |asked: &&Asked| {
            last.is_some_and(|run| asked.kind == run.kind && asked.at <= run.start)
        };
        if self.history.told.iter().any(excuses) || self.asked.iter().any(is_meant) {
            return None;
        }
        let has = if wanted { "has" } else { "does not have" };
        let last = last.map_or("none", |run| run.kind.name());
        Some(Finding {
            row: Row::Lost,
            at,
            text: format!(
                "{} is lost: the server {has} the peer, the service could run scripts, and the \
                 last one is {last}",
                missing.name()
            ),
        })
    }
}
