// SPDX-License-Identifier: GPL-3.0-or-later
//! Reading what the scripts wrote down.

use std::collections::{BTreeMap, HashMap};

use connect_ipc::clock::Monotonic;

use judge::history::{ScriptRun, Source, script_kind};

/// The runs of each peer, in the order of their starts.
///
/// # Errors
/// If a line cannot be understood: each is written at once, so that would be a fault of ours.
pub(crate) fn read(text: &str) -> anyhow::Result<BTreeMap<String, Vec<ScriptRun>>> {
    let mut runs: BTreeMap<String, Vec<ScriptRun>> = BTreeMap::new();
    // Of the process numbers that have not ended: which run of which peer.
    let mut open: HashMap<i32, (String, usize)> = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let read = match words.as_slice() {
            ["start", at, kind, peer, number, pid, beside] => {
                started(at, kind, number, pid, beside).map(|run| {
                    let all = runs.entry((*peer).to_owned()).or_default();
                    open.insert(run.pid, ((*peer).to_owned(), all.len()));
                    all.push(run);
                })
            }
            ["end", at, _, _, _, pid] => ended(at, pid).map(|(at, pid)| {
                if let Some((peer, index)) = open.remove(&pid)
                    && let Some(run) = runs.get_mut(&peer).and_then(|all| all.get_mut(index))
                {
                    run.end = Some(at);
                }
            }),
            _ => None,
        };
        anyhow::ensure!(read.is_some(), "a script wrote a malformed line: {line}");
    }
    for all in runs.values_mut() {
        all.sort_by_key(|run| run.start);
    }
    Ok(runs)
}

fn started(at: &str, kind: &str, number: &str, pid: &str, beside: &str) -> Option<ScriptRun> {
    Some(ScriptRun {
        kind: script_kind(kind)?,
        number: match number {
            "-" => None,
            _ => Some(number.parse().ok()?),
        },
        pid: pid.parse().ok()?,
        start: Monotonic(at.parse().ok()?),
        end: None,
        beside_another: beside == "beside",
        source: Source::Script,
    })
}

fn ended(at: &str, pid: &str) -> Option<(Monotonic, i32)> {
    Some((Monotonic(at.parse().ok()?), pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::ScriptKind;

    #[test]
    fn a_start_and_its_end_are_one_run_and_process_numbers_may_come_again() {
        let text = "start 5 ifup p1 70 9 alone\n\
                    start 6 connect p2 - 8 beside\n\
                    end 7 ifup p1 70 9\n\
                    start 8 ifdown p1 71 9 alone\n";
        let runs = read(text).unwrap();
        let p1 = &runs["p1"];
        assert_eq!((p1[0].number, p1[0].end), (Some(70), Some(Monotonic(7))));
        assert_eq!((p1[1].kind, p1[1].end), (ScriptKind::Ifdown, None));
        assert_eq!(
            (runs["p2"][0].number, runs["p2"][0].beside_another),
            (None, true)
        );
    }

    #[test]
    fn a_malformed_line_is_an_error() {
        assert!(read("start 5 ifup p1").is_err());
        assert!(read("start x ifup p1 - 9 alone").is_err());
    }
}
