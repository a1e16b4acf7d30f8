// SPDX-License-Identifier: GPL-3.0-or-later
//! The results as text of at most 80 columns.

use std::fmt::Write as _;

use super::{Line, Outcome};
use crate::measure::figures::Figures;

/// A number with about three digits that count.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 || v == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// What stands before a figure whose runs are far apart.
const UNSTEADY: &str = "~";

/// All lines, those of one quantity together under its name.
pub(crate) fn render(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut quantity = "";
    let mut unsteady = false;
    for line in lines {
        if line.quantity != quantity {
            quantity = line.quantity;
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "\n{quantity}");
        }
        unsteady |= line.is_unsteady();
        row(
            &mut text,
            &format!("  {}", line.condition),
            &line.ours,
            line.unit,
        );
        for baseline in &line.baselines {
            match &baseline.result {
                Outcome::Measured(figures) => {
                    row(
                        &mut text,
                        &format!("    {}", baseline.name),
                        figures,
                        line.unit,
                    );
                }
                Outcome::Missing(why) => {
                    let _ = writeln!(text, "    {:36} none: {why:.33}", baseline.name);
                }
            }
        }
        for bar in &line.bars {
            let verdict = match bar.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "cannot be told",
            };
            let _ = writeln!(text, "      bar: {}: {verdict}", bar.text);
        }
    }
    if unsteady {
        let _ = writeln!(
            text,
            "\n{UNSTEADY}: runs differ by more than half of their median"
        );
    }
    text
}

fn row(text: &mut String, name: &str, figures: &Figures, unit: &str) {
    let mark = if figures.is_unsteady() { UNSTEADY } else { "" };
    let (median, min, max) = (
        format!("{mark}{}", number(figures.median)),
        number(figures.min),
        number(figures.max),
    );
    let _ = writeln!(text, "{name:39} {median:>9} {unit:<6} ({min} to {max})");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (1.234, "1.23"),
            (50.0, "50"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_figure_whose_runs_are_far_apart_is_marked() {
        let line = |runs: &[f64]| Line::new("A quantity", "alone", "us", runs.to_vec()).unwrap();
        let steady = render(&[line(&[1.0, 1.2])]);
        assert!(!steady.contains('~'), "{steady}");
        let unsteady = render(&[line(&[1.0, 2.0])]);
        assert!(unsteady.contains(" ~1.5 us"), "{unsteady}");
        assert!(unsteady.contains("\n~: runs differ"), "{unsteady}");
    }

    #[test]
    fn a_table_is_no_wider_than_80_columns() {
        let line = Line::new(
            "A quantity",
            "10,000 peers, each every 1 s",
            "us",
            vec![99_999.4; 3],
        )
        .unwrap()
        .baseline("a comparator", Ok(vec![99_999.4]))
        .baseline(
            "another",
            Err("it is not installed, and cannot be on this machine".into()),
        )
        .at_most_times(3.0, "a comparator");
        let table = render(&[line]);
        assert!(table.contains("bar: 3 times that of a comparator at most: met"));
        for row in table.lines() {
            assert!(row.len() <= 80, "{row}");
        }
    }
}
