// SPDX-License-Identifier: GPL-3.0-or-later
//! What was measured, beside what, and what it must reach.

pub(crate) mod json;
pub(crate) mod machine;
pub(crate) mod over_time;
pub(crate) mod plot;
pub(crate) mod table;

use serde::Serialize;

use crate::measure::figures::Figures;

/// One quantity under one condition.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Line {
    /// What is measured.
    pub quantity: &'static str,
    /// Under which condition.
    pub condition: String,
    /// The unit of every figure here.
    pub unit: &'static str,
    /// Ours.
    pub ours: Figures,
    /// Others, in the same run.
    pub baselines: Vec<Baseline>,
    /// What must be reached.
    pub bars: Vec<Bar>,
}

/// Something measured beside the service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Baseline {
    /// What.
    pub name: &'static str,
    /// Its figures, or why there are none.
    pub result: Outcome,
}

/// What came of trying to measure a comparator.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Its figures.
    Measured(Figures),
    /// Why it could not be had.
    Missing(String),
}

/// One thing that must be reached, by the medians.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Bar {
    /// In words.
    pub text: String,
    /// Whether it is; `None` if there is nothing to compare it with.
    pub met: Option<bool>,
}

impl Line {
    /// One quantity under one condition; `None` without any run.
    pub(crate) fn new(
        quantity: &'static str,
        condition: impl Into<String>,
        unit: &'static str,
        ours: Vec<f64>,
    ) -> Option<Self> {
        Some(Line {
            quantity,
            condition: condition.into(),
            unit,
            ours: Figures::of(ours)?,
            baselines: Vec::new(),
            bars: Vec::new(),
        })
    }

    /// Adds what was measured beside it.
    #[must_use]
    pub(crate) fn baseline(mut self, name: &'static str, runs: Result<Vec<f64>, String>) -> Self {
        let result = match runs.map(Figures::of) {
            Ok(Some(figures)) => Outcome::Measured(figures),
            Ok(None) => Outcome::Missing("not run".to_owned()),
            Err(why) => Outcome::Missing(why),
        };
        self.baselines.push(Baseline { name, result });
        self
    }

    /// Whether runs of anything here are so far apart that the median says little.
    fn is_unsteady(&self) -> bool {
        let others = self.baselines.iter().map(|baseline| &baseline.result);
        let others = others.filter_map(|result| match result {
            Outcome::Measured(figures) => Some(figures),
            Outcome::Missing(_) => None,
        });
        others.chain([&self.ours]).any(Figures::is_unsteady)
    }

    fn bar(mut self, text: String, met: Option<bool>) -> Self {
        self.bars.push(Bar { text, met });
        self
    }

    /// Ours must be `most` at most.
    #[must_use]
    pub(crate) fn at_most(self, most: f64) -> Self {
        let met = self.ours.median <= most;
        let text = format!("{} {} at most", table::number(most), self.unit);
        self.bar(text, Some(met))
    }

    /// Ours must be at most `factor` times that of a comparator.
    #[must_use]
    pub(crate) fn at_most_times(self, factor: f64, name: &'static str) -> Self {
        let met = self.median_of(name).map(|m| self.ours.median <= m * factor);
        let text = format!("{} of {name} at most", times(factor));
        self.bar(text, met)
    }

    /// Ours must be at most a comparator's and `more`.
    #[must_use]
    pub(crate) fn at_most_above(self, more: f64, name: &'static str) -> Self {
        let met = self.median_of(name).map(|m| self.ours.median <= m + more);
        let text = format!("{} {} above {name} at most", table::number(more), self.unit);
        self.bar(text, met)
    }

    /// Ours must be at least `factor` times that of a comparator.
    #[must_use]
    pub(crate) fn at_least_times(self, factor: f64, name: &'static str) -> Self {
        let met = self.median_of(name).map(|m| self.ours.median >= m * factor);
        let text = format!("{} of {name} at least", times(factor));
        self.bar(text, met)
    }

    /// The median of a comparator, if it was measured.
    pub(crate) fn median_of(&self, name: &str) -> Option<f64> {
        self.baselines
            .iter()
            .find_map(|baseline| match &baseline.result {
                Outcome::Measured(figures) if baseline.name == name => Some(figures.median),
                _ => None,
            })
    }
}

fn times(factor: f64) -> String {
    format!("{} times that", table::number(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_medians_against_each_other() {
        let line = Line::new("CPU", "1 peer", "us", vec![2.0, 3.0, 9.0])
            .unwrap()
            .baseline("floor", Ok(vec![1.0]))
            .baseline("fping", Err("not installed".to_owned()))
            .at_most_times(3.0, "floor")
            .at_most_times(2.5, "floor")
            .at_most_times(1.0, "fping")
            .at_most_above(2.0, "floor")
            .at_least_times(4.0, "floor")
            .at_most(3.0);
        let met: Vec<Option<bool>> = line.bars.iter().map(|bar| bar.met).collect();
        let expected = [true, false, false, true, false, true].map(Some);
        assert_eq!(met[..2], expected[..2]);
        assert_eq!(met[2], None);
        assert_eq!(met[3..], expected[3..]);
    }
}
