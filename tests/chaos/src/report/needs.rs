// SPDX-License-Identifier: GPL-3.0-or-later
//! Tables without a bound: how long the service took to work again, what its processes needed, and
//! what those got who used it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Report;
use crate::load::recovery::summary;

/// The tables of some runs.
pub(super) fn text(reports: &[&Report]) -> String {
    let mut text = recovery(reports);
    text.push_str(&parts(reports));
    text.push_str(&load(reports));
    text
}

/// After each kind of death: how often, how long in the middle, how long at worst.
fn recovery(reports: &[&Report]) -> String {
    let mut times: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for report in reports {
        for (what, found) in &report.recovery {
            let key = (report.layout.name(), what.as_str());
            times.entry(key).or_default().extend(found);
        }
    }
    let mut text = String::new();
    if !times.is_empty() {
        text.push_str("\nworks again after the death of        count  median ms   worst ms\n");
    }
    for ((layout, what), times) in times {
        let (count, median, worst) = summary(&times);
        let (median, worst) = (median.as_millis(), worst.as_millis());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {layout:<10} {what:<22} {count:>7} {median:>10} {worst:>10}"
        );
    }
    text
}

/// Of each part: memory over its longest life, and descriptors at rest.
fn parts(reports: &[&Report]) -> String {
    let mut text = String::new();
    if reports.iter().any(|report| !report.parts.is_empty()) {
        text.push_str(
            "\nlongest life of         seed  seconds  first KiB  last KiB  KiB/min  descriptors  per min\n",
        );
    }
    for report in reports {
        for part in &report.parts {
            let in_words =
                |slope: Option<f64>| slope.map_or("-".to_owned(), |it| format!("{it:.1}"));
            let slope = in_words(part.kib_a_minute);
            let open = in_words(part.descriptors_a_minute);
            let _ = writeln!(
                text,
                "  {:<8} {:<13} {:>5} {:>8.0} {:>10.0} {:>9.0} {slope:>8} {:>5} -> {:<3} {open:>8}",
                report.layout.name(),
                part.part,
                report.seed,
                part.seconds,
                part.first_kib,
                part.last_kib,
                part.descriptors_before,
                part.descriptors_after,
            );
        }
    }
    text
}

/// What observers and monitor got, in all runs.
fn load(reports: &[&Report]) -> String {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(|report| of(report)).sum::<u64>();
    if sum(|it| it.load.connections) == 0 {
        return String::new();
    }
    format!(
        "\nobservers: {} events over {} connections, {} left out; scrapes: {} of {} answered; lost \
         scripts were looked for in {} s of {}\n",
        sum(|it| it.load.events),
        sum(|it| it.load.connections),
        sum(|it| it.load.dropped),
        sum(|it| it.load.scrapes_answered),
        sum(|it| it.load.scrapes),
        sum(|it| it.load.healthy),
        sum(|it| it.seconds),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::PartReport;
    use crate::report::LoadReport;
    use crate::report::table::tests::report;

    #[test]
    fn what_has_no_bound_is_in_tables_of_its_own() {
        let mut one = report(7, 0);
        one.recovery = BTreeMap::from([("core".to_owned(), vec![30, 10, 20])]);
        one.load = LoadReport {
            connections: 3,
            events: 90,
            ..LoadReport::default()
        };
        one.parts = vec![PartReport {
            part: "core".to_owned(),
            seconds: 60.0,
            first_kib: 9_000.0,
            last_kib: 9_100.0,
            kib_a_minute: None,
            descriptors_a_minute: Some(0.25),
            descriptors_before: 20,
            descriptors_after: 21,
            leaks: Vec::new(),
        }];
        let text = text(&[&one]);
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(2), ["units", "core", "3", "20", "30"]);
        let wanted = [
            "units", "core", "7", "60", "9000", "9100", "-", "20", "->", "21", "0.2",
        ];
        assert_eq!(words(5), wanted);
        assert!(lines[7].starts_with("observers: 90 events over 3 connections"));
    }
}
