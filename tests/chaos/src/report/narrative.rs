// SPDX-License-Identifier: GPL-3.0-or-later
//! The history of a peer in words, a line for each thing that happened, with what was done to the
//! world at the time.

use std::time::Duration;

use connect_ipc::clock::{Monotonic, millis};

use super::FoundFault;
use judge::history::{CauseKind, Certainty, Deed, PeerHistory, ScriptRun, Source, Span};

/// What was done to the world is told from so long before a fault until so long after it.
const AROUND: Duration = Duration::from_secs(3);

/// What stands before the line of a fault.
const MARK: &str = ">>> ";

/// A line that belongs to an instant, and its place among others of the same instant.
type Line = (Monotonic, u8, String);

/// The lines.
pub(super) fn lines(
    history: &PeerHistory,
    faults: &[&FoundFault],
    deeds: &[Deed],
    began: Monotonic,
) -> Vec<String> {
    let mut lines = happenings(history);
    for fault in faults {
        let at = began + Duration::from_millis(fault.at);
        lines.push((at, 4, format!("{MARK}{}: {}", fault.row.name(), fault.text)));
        // A fault is found with the script that should not have been, or with what was not
        // followed by one; what led to it came since what happened to the peer before.
        let before = lines
            .iter()
            .filter(|(when, rank, _)| *rank < 4 && *when < at);
        let since = before.map(|(when, _, _)| *when).max().unwrap_or(at);
        let since = since.before(AROUND);
        let around = deeds
            .iter()
            .filter(|deed| deed.at >= since && deed.at <= at + AROUND);
        let told: Vec<Line> = around
            .map(|deed| (deed.at, 0, format!("    ({})", deed.text)))
            .collect();
        lines.extend(told);
    }
    lines.sort();
    lines.dedup();
    lines
        .into_iter()
        .map(|(at, _, text)| {
            let millis = millis(at.since(began));
            format!("{:>4}.{:03} {text}", millis / 1_000, millis % 1_000)
        })
        .collect()
}

fn happenings(history: &PeerHistory) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for cause in &history.causes {
        let what = match cause.kind {
            CauseKind::Added => "the server adds the peer",
            CauseKind::Removed => "the server does not have the peer any more",
            CauseKind::Reconnecting => "the service reconnects the peer",
            CauseKind::Answered => "the peer answers",
            CauseKind::Unreachable => "the peer is unreachable",
        };
        let sure = match cause.certainty {
            Certainty::Certain => "",
            Certainty::WithoutRecord => "; the service may not have its record",
            Certainty::LastMoment => ", perhaps, before the server died",
        };
        lines.push((
            cause.when.to,
            1,
            format!("{what}{sure}{}", late(cause.when)),
        ));
    }
    for told in &history.told {
        let text = format!("the service tells: {} {}", told.kind.name(), told.code);
        lines.push((told.when.to, 3, text));
    }
    for asked in &history.asked {
        let name = asked.kind.name();
        lines.push((asked.at, 1, format!("an operator asks for {name}")));
        if let Some((pid, at)) = asked.started {
            let text = format!("the operator hears that {name} has started (process {pid})");
            lines.push((at, 3, text));
        }
    }
    lines.extend(history.runs.iter().flat_map(of_run));
    lines
}

/// The start and the end of a script.
fn of_run(run: &ScriptRun) -> Vec<Line> {
    let name = run.kind.name();
    let number = run.number.map(|number| format!(", run {number}"));
    let number = number.unwrap_or_default();
    let start = match run.source {
        Source::Script => format!("{name} starts (process {}{number})", run.pid),
        Source::Journal => format!(
            "{name} has been started (process {}{number}), says the journal",
            run.pid
        ),
        Source::Setup => {
            let text = format!("the setup is made, and there is no {name}{number}");
            return vec![(run.start, 2, text)];
        }
    };
    let end = match run.end {
        Some(end) => (end, 2, format!("{name} ends (process {})", run.pid)),
        None => (
            run.start,
            3,
            format!("{name} never wrote its end (process {})", run.pid),
        ),
    };
    vec![(run.start, 2, start), end]
}

/// How much earlier something may have happened, if that is worth telling.
fn late(when: Span) -> String {
    match millis(when.to.since(when.from)) {
        0..5 => String::new(),
        late => format!(" (up to {late} ms ago)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::ScriptKind;
    use judge::Row;
    use judge::history::Cause;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_history_is_told_in_the_order_of_time_with_what_was_done_around_its_faults() {
        let at = |seconds: u64| Monotonic(seconds * SECOND);
        let history = PeerHistory {
            causes: vec![Cause {
                kind: CauseKind::Added,
                when: Span {
                    from: at(20),
                    to: at(20),
                },
                certainty: Certainty::Certain,
            }],
            runs: vec![ScriptRun {
                kind: ScriptKind::Ifup,
                number: Some(7),
                pid: 9,
                start: at(21),
                end: None,
                beside_another: false,
                source: Source::Script,
            }],
            ..PeerHistory::default()
        };
        let fault = FoundFault {
            row: Row::Doubled,
            peer: None,
            at: 11_000,
            text: "ifup".to_owned(),
        };
        let deeds = [11, 19, 30].map(|seconds| Deed {
            at: at(seconds),
            text: format!("deed {seconds}"),
        });
        let lines = lines(&history, &[&fault], &deeds, at(10));
        assert_eq!(
            lines,
            [
                "   9.000     (deed 19)",
                "  10.000 the server adds the peer",
                "  11.000 ifup starts (process 9, run 7)",
                "  11.000 ifup never wrote its end (process 9)",
                "  11.000 >>> doubled: ifup",
            ]
        );
    }
}
