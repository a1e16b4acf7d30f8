// SPDX-License-Identifier: GPL-3.0-or-later
//! Ranges as the guidelines for monitoring plugins define them, and which figure each is about.

use std::fmt;
use std::str::FromStr;

/// A figure that can be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Metric {
    /// How many peers should be up and are not.
    Missing,
    /// The longest of the latest round trips, in milliseconds.
    Rtt,
    /// The largest share of lost pings, in percent.
    Loss,
}

/// Between which values a figure is right.
#[derive(Clone, Debug, PartialEq)]
struct Range {
    start: f64,
    end: f64,
    /// Whether a figure is wrong within the range, and not outside of it.
    inside: bool,
}

/// When a figure is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Threshold {
    pub(super) metric: Metric,
    range: Range,
    /// The range as it was given.
    text: String,
}

impl Threshold {
    /// Whether the figure is wrong.
    pub(super) fn is_passed(&self, figure: f64) -> bool {
        let Range { start, end, inside } = self.range;
        (start..=end).contains(&figure) == inside
    }
}

/// All ranges of the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    pub(super) warning: &'a [Threshold],
    pub(super) critical: &'a [Threshold],
}

impl<'a> Limits<'a> {
    /// The range of a figure that is a warning, and the one that is critical.
    pub(super) fn of(self, metric: Metric) -> [Option<&'a Threshold>; 2] {
        [self.warning, self.critical].map(|all| all.iter().find(|it| it.metric == metric))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, range) = text.split_once('=').unwrap_or(("missing", text));
        let metric = match metric {
            "missing" => Metric::Missing,
            "rtt" => Metric::Rtt,
            "loss" => Metric::Loss,
            _ => return Err(format!("`{metric}' is none of missing, rtt and loss")),
        };
        Ok(Threshold {
            metric,
            range: range.parse()?,
            text: range.to_owned(),
        })
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or("expected a range such as 10, 5:, ~:10, 5:10 or @5:10")
        };
        let (inside, bare) = match text.strip_prefix('@') {
            Some(bare) => (true, bare),
            None => (false, text),
        };
        let (start, end) = match bare.split_once(':') {
            None => (0.0, number(bare)?),
            Some((start, end)) => {
                let start = match start {
                    "" => 0.0,
                    "~" => f64::NEG_INFINITY,
                    start => number(start)?,
                };
                let end = if end.is_empty() {
                    f64::INFINITY
                } else {
                    number(end)?
                };
                (start, end)
            }
        };
        if start > end {
            return Err("the range ends before it begins".to_owned());
        }
        Ok(Range { start, end, inside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_guidelines() {
        // What each range says of -1, 0, 5, 10, 20 and 21.
        for (range, passed) in [
            ("10", [true, false, false, false, true, true]),
            ("10:", [true, true, true, false, false, false]),
            ("~:10", [false, false, false, false, true, true]),
            ("10:20", [true, true, true, false, false, true]),
            ("@10:20", [false, false, false, true, true, false]),
            ("@0", [false, true, false, false, false, false]),
            ("0", [true, false, true, true, true, true]),
            (":5", [true, false, false, true, true, true]),
        ] {
            let threshold: Threshold = format!("rtt={range}").parse().unwrap();
            let is = [-1.0, 0.0, 5.0, 10.0, 20.0, 21.0].map(|figure| threshold.is_passed(figure));
            assert_eq!(is, passed, "{range}");
            assert_eq!(threshold.to_string(), range);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "", "x", "20:10", "1:2:3", "@", "~", "nan", "inf", "speed=1", "rtt=",
        ] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
        let bare: Threshold = "3".parse().unwrap();
        assert_eq!(bare.metric, Metric::Missing);
    }
}
