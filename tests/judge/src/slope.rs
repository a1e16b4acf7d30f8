// SPDX-License-Identifier: GPL-3.0-or-later
//! Whether something grows: the line through measurements, and how certain its slope is.

/// A fitted line.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    /// How much the value grows for each unit of the other one, usually a second.
    pub slope: f64,
    /// The standard error of the slope.
    pub error: f64,
    /// From the first point to the last, in the unit of the other value.
    pub length: f64,
}

/// Fits a line to points, the first coordinate ascending, by least squares; `None` if there are too
/// few.
#[must_use]
pub fn fit(points: &[(f64, f64)]) -> Option<Slope> {
    let (first, last) = (points.first()?, points.last()?);
    let count = points.iter().fold(0.0, |count, _| count + 1.0);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(|it| it.0), mean(|it| it.1));
    let spread: f64 = points.iter().map(|it| (it.0 - at).powi(2)).sum();
    let common: f64 = points.iter().map(|it| (it.0 - at) * (it.1 - value)).sum();
    if count <= 2.0 || spread <= 0.0 {
        return None;
    }
    let slope = common / spread;
    let off = |it: &(f64, f64)| (it.1 - value - slope * (it.0 - at)).powi(2);
    let left: f64 = points.iter().map(off).sum();
    Some(Slope {
        slope,
        error: (left / (count - 2.0) / spread).sqrt(),
        length: last.0 - first.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_textbook() {
        let line = fit(&[(1.0, 2.0), (2.0, 3.0), (3.0, 5.0), (4.0, 6.0)]).unwrap();
        assert!((line.slope - 1.4).abs() < 1e-9);
        assert!(
            (line.error - 0.02_f64.sqrt()).abs() < 1e-9,
            "{}",
            line.error
        );
        assert!((line.length - 3.0).abs() < 1e-9);
    }

    #[test]
    fn two_points_or_one_instant_have_no_line() {
        assert!(fit(&[(1.0, 2.0), (2.0, 3.0)]).is_none());
        assert!(fit(&[(1.0, 2.0), (1.0, 3.0), (1.0, 5.0)]).is_none());
        assert!(fit(&[]).is_none());
    }
}
