// SPDX-License-Identifier: GPL-3.0-or-later
//! Samples and their figures: median, extremes, percentiles.

use serde::Serialize;

/// What several runs gave, in one unit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figures {
    /// The middle one: one disturbed run does not move it.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All, in the order of the runs.
    pub runs: Vec<f64>,
}

/// How far apart runs may be, as a share of the median. Beyond it the figure is not to be relied
/// on.
const STEADY: f64 = 0.5;

impl Figures {
    /// Of at least one run; `None` without any.
    pub(crate) fn of(runs: Vec<f64>) -> Option<Self> {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Figures {
            median: median(&sorted)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            runs,
        })
    }

    /// Whether the runs are so far apart that more of them are wanted.
    pub(crate) fn is_unsteady(&self) -> bool {
        self.max - self.min > self.median.abs() * STEADY
    }
}

/// What was found in the same place of each run.
pub(crate) fn columns<const N: usize>(runs: &[[f64; N]]) -> [Vec<f64>; N] {
    std::array::from_fn(|at| runs.iter().map(|run| run[at]).collect())
}

/// The middle of sorted values; of an even number, the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper))
}

/// Single events of one run, to be asked for percentiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    values: Vec<f64>,
}

impl Samples {
    /// Sorts the values.
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Samples { values }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value that `share` (0 to 1) of all do not exceed; 0 without values.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the list, which is never negative"
        )]
        let place = (self.values.len() as f64 * share).ceil() as usize;
        let last = self.values.len().saturating_sub(1);
        let at = place.saturating_sub(1).min(last);
        self.values.get(at).copied().unwrap_or_default()
    }

    /// The largest; 0 without values.
    pub(crate) fn max(&self) -> f64 {
        self.values.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_textbook() {
        let odd = Figures::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(odd.runs, [3.0, 1.0, 2.0]);
        assert_eq!(Figures::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert!(Figures::of(Vec::new()).is_none());
    }

    #[test]
    fn runs_that_are_far_apart_are_unsteady() {
        let of = |runs: &[f64]| Figures::of(runs.to_vec()).unwrap().is_unsteady();
        assert!(!of(&[0.8, 1.0, 1.3]));
        assert!(of(&[0.8, 1.0, 1.4]));
        assert!(!of(&[0.0, 0.0]));
        assert!(of(&[-0.5, 0.1, 0.5]));
        assert_eq!(columns(&[[1.0, 2.0], [3.0, 4.0]]), [[1.0, 3.0], [2.0, 4.0]]);
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let samples = Samples::new((1..=100).rev().map(f64::from).collect());
        assert_eq!(samples.percentile(0.5), 50.0);
        assert_eq!(samples.percentile(0.99), 99.0);
        assert_eq!(samples.percentile(1.0), 100.0);
        assert_eq!((samples.max(), samples.len()), (100.0, 100));
        assert_eq!(Samples::default().percentile(0.5), 0.0);
    }
}
