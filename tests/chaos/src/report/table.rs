// SPDX-License-Identifier: GPL-3.0-or-later
//! Tables: one run with all its figures, and several runs with a line each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Report, needs};
use crate::faults::NAMES;
use judge::Row;

/// The table of one run.
pub(crate) fn single(report: &Report) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let made = report.made.iter();
    lines.extend(made.map(|(name, count)| (name.clone(), count.to_string())));
    lines.push(("peers added".to_owned(), report.additions.to_string()));
    lines.push(("scripts run".to_owned(), report.scripts.to_string()));
    lines.push(("operator's".to_owned(), report.requests.to_string()));
    lines.push(("told".to_owned(), report.told.to_string()));
    let split = lines.len();
    let rows = Row::ALL.iter();
    lines.extend(rows.map(|row| (row.name().to_owned(), report.figure(*row))));
    let mut text = format!(
        "\nseed {}, layout {}, {} s, {} peers\n",
        report.seed,
        report.layout.name(),
        report.seconds,
        report.peers
    );
    for (index, (name, count)) in lines.iter().enumerate() {
        if index == split {
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<24} {count:>7}");
    }
    text.push_str(&needs::text(&[report]));
    text.push_str(&left_out(&[report]));
    text
}

/// The table of several runs, with a sum.
pub(crate) fn several(reports: &[Report]) -> String {
    let mut columns = vec![
        "layout", "seed", "added", "scripts", "asked", "kills", "told",
    ];
    columns.extend(Row::ALL.iter().map(|row| row.name()));
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(ToString::to_string).collect()];
    let figures = |report: &Report| {
        let own = [
            report.additions,
            report.scripts,
            report.requests,
            report.kills(),
            report.told,
        ];
        let rows = Row::ALL.iter().map(|row| report.count(*row));
        own.into_iter().chain(rows).collect::<Vec<u64>>()
    };
    let mut sums = vec![0; columns.len() - 2];
    for report in reports {
        let mut line = vec![report.layout.name().to_owned(), report.seed.to_string()];
        let of_run = figures(report);
        line.extend(of_run.iter().map(u64::to_string));
        for (cell, row) in line.iter_mut().rev().zip(Row::ALL.iter().rev()) {
            *cell = report.figure(*row);
        }
        for (sum, figure) in sums.iter_mut().zip(of_run) {
            *sum += figure;
        }
        lines.push(line);
    }
    let mut last = vec!["all".to_owned(), String::new()];
    last.extend(sums.iter().map(u64::to_string));
    lines.push(last);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text.push_str(&made(reports));
    let reports: Vec<&Report> = reports.iter().collect();
    text.push_str(&needs::text(&reports));
    text.push_str(&left_out(&reports));
    text
}

/// How often each fault was made in all runs, and how many there were in all.
fn made(reports: &[Report]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let all = reports.iter().flat_map(|report| &report.made);
    for (name, count) in all.filter(|(name, _)| NAMES.contains(&name.as_str())) {
        *counts.entry(name).or_default() += count;
    }
    let sum: u64 = counts.values().sum();
    let mut text = format!("\n{sum} faults\n");
    for (name, count) in counts {
        let _ = writeln!(text, "  {name:<24} {count:>7}");
    }
    text
}

/// Which faults could not be made in some of the runs.
fn left_out(reports: &[&Report]) -> String {
    let names = reports.iter().flat_map(|report| &report.left_out);
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = names.into_iter().collect();
    format!(
        "\nleft out, since it cannot be done here: {}\n",
        names.join(", ")
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::options::Layout;
    use crate::report::LoadReport;

    pub(in crate::report) fn report(seed: u64, doubled: u64) -> Report {
        Report {
            seed,
            layout: Layout::Units,
            seconds: 60,
            peers: 200,
            left_out: Vec::new(),
            recovery: BTreeMap::new(),
            load: LoadReport::default(),
            parts: Vec::new(),
            made: BTreeMap::from([("kill core".to_owned(), 3), ("add".to_owned(), 4)]),
            scripts: 50,
            additions: 20,
            requests: 2,
            told: 1,
            rows: BTreeMap::from([(Row::Doubled, Some(doubled)), (Row::Leaks, None)]),
            faults: Vec::new(),
            histories: Vec::new(),
            directory: None,
        }
    }

    #[test]
    fn a_run_has_each_figure_in_a_line() {
        let text = single(&report(7, 2));
        assert!(text.starts_with("\nseed 7, layout units, 60 s, 200 peers\n"));
        assert!(
            text.contains("\n  kill core                      3\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  doubled                        2\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  lost                           0\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  leaks                          -\n"),
            "{text}"
        );
        assert!(!text.contains("left out"), "{text}");
        let mut report = report(7, 2);
        report.left_out = vec!["full disk".to_owned()];
        let text = single(&report);
        assert!(text.ends_with("cannot be done here: full disk\n"), "{text}");
    }

    #[test]
    fn several_runs_have_a_line_each_and_a_sum() {
        let text = several(&[report(7, 2), report(8, 30)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[5..],
            ["6 faults", "  kill core                      6"]
        );
        assert!(
            lines[0].starts_with("layout  seed  added  scripts  asked  kills  told  doubled  lost")
        );
        assert!(
            lines[3].starts_with("all              40      100      4      6     2       32     0")
        );
    }
}
