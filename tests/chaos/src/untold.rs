// SPDX-License-Identifier: GPL-3.0-or-later
//! The starts of scripts in the events, held against what the scripts wrote down: each script that
//! started while an observer was connected was told to it. A start that was told, of a script that
//! wrote nothing, is found where its runs are judged.

use connect_ipc::clock::Monotonic;
use judge::history::{Histories, PeerHistory, ScriptRun, Source, Span};
use judge::noted::Heard;
use judge::rest::GRACE;

use crate::load::stream::Oddity;
use crate::run::Run;

/// What is odd, of all peers. The service could run scripts in these times, in which the first
/// observer was connected.
pub(crate) fn oddities(run: &Run, histories: &Histories, times: &[Span]) -> Vec<Oddity> {
    let Some(observer) = run.load.observers.first() else {
        return Vec::new();
    };
    let seen = observer.seen();
    if !seen.stream.tracks.is_complete() {
        return Vec::new();
    }
    let none = Vec::new();
    let of_peer = |(peer, history): (&String, &PeerHistory)| {
        let heard = seen.stream.started.get(peer).unwrap_or(&none);
        let untold = untold(history, heard, times).into_iter();
        untold
            .map(|run| Oddity {
                at: run.start,
                text: format!(
                    "an observer was not told that {} of {peer} has started (process {})",
                    run.kind.name(),
                    run.pid
                ),
            })
            .collect::<Vec<_>>()
    };
    histories.iter().flat_map(of_peer).collect()
}

/// The scripts of which no start was told though the observer was connected until some time later.
/// A run of which only the journal knows has perhaps been told under another number.
fn untold<'a>(history: &'a PeerHistory, heard: &[Heard], times: &[Span]) -> Vec<&'a ScriptRun> {
    let is_seen = |start: Monotonic| {
        let mut times = times.iter();
        times.any(|time| time.from <= start && start + GRACE <= time.to)
    };
    let is_told = |run: &ScriptRun| {
        heard
            .iter()
            .any(|heard| heard.kind == run.kind && heard.pid == run.pid)
    };
    let scripts = history.runs.iter();
    let scripts = scripts.filter(|run| run.source == Source::Script && is_seen(run.start));
    scripts.filter(|run| !is_told(run)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::ScriptKind;

    #[test]
    fn a_script_that_no_observer_was_told_of_is_found() {
        let at = |seconds: u64| Monotonic(seconds * 1_000_000_000);
        let run = |pid, start| ScriptRun {
            kind: ScriptKind::Ifup,
            number: None,
            pid,
            start: at(start),
            end: None,
            beside_another: false,
            source: Source::Script,
        };
        let history = PeerHistory {
            runs: vec![run(7, 10), run(8, 20), run(9, 30)],
            ..PeerHistory::default()
        };
        let times = [Span {
            from: at(5),
            to: at(30),
        }];
        let heard = [Heard {
            kind: ScriptKind::Ifup,
            pid: 7,
            at: at(10),
        }];
        let found = |times: &[Span]| {
            let found = untold(&history, &heard, times).into_iter();
            found.map(|run| run.pid).collect::<Vec<_>>()
        };
        assert_eq!(found(&times), [8], "the last may be told later");
        assert!(found(&[]).is_empty());
    }
}
