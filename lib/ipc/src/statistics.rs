// SPDX-License-Identifier: GPL-3.0-or-later
//! Round-trip statistics of one adopted peer: those of `info` in the manual.

use serde::{Deserialize, Serialize};

/// How the most recent ping ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LastPing {
    /// No ping has ended yet.
    #[default]
    None,
    /// A reply came after this many milliseconds.
    Reply(f64),
    /// No reply came in time.
    Timeout,
}

/// The statistics since adoption. Core and the pinger compute the same from the same results,
/// so that each can restore those of the other.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct PingStatistics {
    /// Successful pings.
    pub replies: u64,
    /// Pings declared timed out.
    pub lost: u64,
    /// The most recent ping.
    pub last: LastPing,
    /// Shortest successful round trip in milliseconds; meaningless without replies.
    pub min: f64,
    /// Longest successful round trip in milliseconds; meaningless without replies.
    pub max: f64,
    /// Mean of the round trips in milliseconds.
    pub mean: f64,
    /// Sum of squared distances from the mean. Computed by Welford's method, which stays exact
    /// where the difference of two sums would lose its digits.
    pub spread: f64,
}

impl PingStatistics {
    /// Counts a reply after `millis` milliseconds.
    pub fn record_reply(&mut self, millis: f64) {
        self.last = LastPing::Reply(millis);
        if self.replies == 0 {
            (self.min, self.max) = (millis, millis);
        } else {
            (self.min, self.max) = (self.min.min(millis), self.max.max(millis));
        }
        // A state that was damaged may have any figures.
        self.replies = self.replies.saturating_add(1);
        let distance = millis - self.mean;
        // Precision is lost only beyond 2^53 pings, which nobody sends.
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 pings take longer than the universe"
        )]
        let count = self.replies as f64;
        let mean = self.mean + distance / count;
        let spread = self.spread + distance * (millis - mean);
        // JSON has no infinite figures, which only absurd ones lead to.
        if mean.is_finite() && spread.is_finite() {
            (self.mean, self.spread) = (mean, spread);
        }
    }

    /// Counts a ping that timed out.
    pub fn record_loss(&mut self) {
        self.last = LastPing::Timeout;
        self.lost = self.lost.saturating_add(1);
    }

    /// Mean round trip in milliseconds, if any ping succeeded.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.replies > 0).then_some(self.mean)
    }

    /// Shortest round trip in milliseconds, if any ping succeeded.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.replies > 0).then_some(self.min)
    }

    /// Longest round trip in milliseconds, if any ping succeeded.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.replies > 0).then_some(self.max)
    }

    /// Standard deviation (of the population) in milliseconds, if any ping succeeded.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 pings take longer than the universe"
        )]
        let count = self.replies as f64;
        (self.replies > 0).then(|| (self.spread / count).max(0.0).sqrt())
    }

    /// Share of pings lost, 0 to 1, if any ping has ended.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        let ended = self.replies.saturating_add(self.lost);
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 pings take longer than the universe"
        )]
        let share = self.lost as f64 / ended as f64;
        (ended > 0).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_figures_are_those_of_the_textbook() {
        let mut statistics = PingStatistics::default();
        assert_eq!(statistics.mean(), None);
        assert_eq!(statistics.deviation(), None);
        assert_eq!(statistics.loss(), None);
        for millis in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            statistics.record_reply(millis);
        }
        statistics.record_loss();
        assert_eq!(statistics.mean(), Some(5.0));
        assert_eq!(statistics.deviation(), Some(2.0));
        assert_eq!((statistics.min(), statistics.max()), (Some(2.0), Some(9.0)));
        assert_eq!(statistics.last, LastPing::Timeout);
        assert_eq!(statistics.loss(), Some(1.0 / 9.0));
    }

    #[test]
    fn figures_that_no_pings_have_stay_figures() {
        let mut statistics = PingStatistics {
            replies: u64::MAX,
            lost: u64::MAX,
            ..PingStatistics::default()
        };
        statistics.record_reply(1.0);
        statistics.record_loss();
        assert_eq!((statistics.replies, statistics.lost), (u64::MAX, u64::MAX));
        assert_eq!(statistics.loss(), Some(1.0));
        for (mean, spread, millis) in [
            (0.0, 0.0, f64::MAX),
            (-f64::MAX, 0.0, f64::MAX),
            (0.0, f64::MAX, 1e300),
        ] {
            let mut statistics = PingStatistics {
                replies: 1,
                mean,
                spread,
                ..PingStatistics::default()
            };
            statistics.record_reply(millis);
            let text = serde_json::to_string(&statistics).unwrap();
            let back: PingStatistics = serde_json::from_str(&text).unwrap();
            assert_eq!(back, statistics);
        }
    }

    proptest! {
        #[test]
        fn deviation_is_never_nan_and_mean_lies_between_the_extremes(
            times in proptest::collection::vec(0.0f64..1e6, 1..50)
        ) {
            let mut statistics = PingStatistics::default();
            for time in &times {
                statistics.record_reply(*time);
            }
            let (min, max) = (statistics.min().unwrap(), statistics.max().unwrap());
            let mean = statistics.mean().unwrap();
            prop_assert!(min - 1e-6 <= mean && mean <= max + 1e-6);
            prop_assert!(statistics.deviation().unwrap() >= 0.0);
            let text = serde_json::to_string(&statistics).unwrap();
            let back: PingStatistics = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.replies, statistics.replies);
        }
    }
}
