// SPDX-License-Identifier: GPL-3.0-or-later
//! Faults on demand: what can go wrong between the server and its clients and peers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A probability in millionths.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Chance(u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Chance = Chance(0);
    /// It always happens.
    pub const ALWAYS: Chance = Chance(1_000_000);

    /// So many per cent, at most a hundred.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        if percent >= 100 {
            Self::ALWAYS
        } else {
            Chance(percent * 10_000)
        }
    }

    /// So many per cent, a part of one included; what is below nothing or above a hundred is taken
    /// for that.
    #[must_use]
    pub fn from_percent(percent: f64) -> Self {
        let millionths = (percent * 10_000.0).clamp(0.0, 1_000_000.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped just above; a NaN becomes 0"
        )]
        Chance(millionths as u32)
    }

    /// The chance in per cent, a part of one included.
    #[must_use]
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Draws.
    pub fn happens(self, rng: &mut Rng) -> bool {
        // No draw where the answer is known, so that a fault that is off changes no run.
        match self {
            Self::NEVER => false,
            Self::ALWAYS => true,
            Chance(millionths) => rng.below(1_000_000) < u64::from(millionths),
        }
    }
}

/// What happens to datagrams on their way out, in real time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetFaults {
    /// A datagram is lost.
    pub loss: Chance,
    /// A datagram comes twice.
    pub duplicate: Chance,
    /// A datagram is held back by [`NetFaults::REORDERED_BY`], so that later ones overtake it.
    pub reorder: Chance,
    /// Every datagram takes this long.
    pub delay: Duration,
    /// And up to this much longer.
    pub jitter: Duration,
    /// Nothing goes out and nothing comes in.
    pub paused: bool,
}

impl NetFaults {
    /// How long a reordered datagram is held back.
    pub const REORDERED_BY: Duration = Duration::from_millis(20);

    /// When each copy of one datagram arrives, as delays from now; empty if it is lost.
    pub(crate) fn fate(&self, rng: &mut Rng) -> [Option<Duration>; 2] {
        if self.paused || self.loss.happens(rng) {
            return [None, None];
        }
        let first = self.one_delay(rng);
        let second = self.duplicate.happens(rng).then(|| self.one_delay(rng));
        [Some(first), second]
    }

    fn one_delay(&self, rng: &mut Rng) -> Duration {
        let mut delay = self.delay;
        if !self.jitter.is_zero() {
            let nanos = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
            delay += Duration::from_nanos(rng.below(nanos));
        }
        if self.reorder.happens(rng) {
            delay += Self::REORDERED_BY;
        }
        delay
    }
}

/// How the server writes to its clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WriteFaults {
    /// Write at most so many bytes at a time; 0 is no limit.
    pub chunk: usize,
    /// Wait so long after each chunk.
    pub pause: Duration,
}

/// An answer that is not the server's own: every command that matches is refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// The command's name, in any case.
    pub command: String,
    /// Words that must all be among the command's; none match every use of it.
    pub words: Vec<String>,
    /// Code and arguments of the `FAIL`.
    pub failure: Vec<String>,
    /// Let a command with `-background TAG` detach first and then fail with `BGFAIL`.
    pub detach: bool,
    /// How many commands are refused before this is over; `None` is for ever.
    pub times: Option<u32>,
}

impl Refusal {
    /// Refuses every `command` with `FAIL code`.
    #[must_use]
    pub fn of(command: &str, code: &str) -> Self {
        Refusal {
            command: command.into(),
            words: Vec::new(),
            failure: vec![code.into()],
            detach: false,
            times: None,
        }
    }
}

/// All faults that can be set from outside.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Faults {
    /// Datagrams.
    pub net: NetFaults,
    /// Writing to clients.
    pub write: WriteFaults,
    /// Commands refused.
    pub refusals: Vec<Refusal>,
}

/// How many [`Faults::refusals`] there may be.
const MAX_REFUSALS: usize = 1_000;

impl Faults {
    /// Adds a refusal. False if there are too many already.
    pub fn add_refusal(&mut self, refusal: Refusal) -> bool {
        let room = self.refusals.len() < MAX_REFUSALS;
        if room {
            self.refusals.push(refusal);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_about_right() {
        let mut rng = Rng::new(1);
        let hits = (0..10_000)
            .filter(|_| Chance::percent(25).happens(&mut rng))
            .count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!Chance::NEVER.happens(&mut rng) && Chance::ALWAYS.happens(&mut rng));
        assert_eq!(Chance::percent(200), Chance::ALWAYS);
    }

    #[test]
    fn fates() {
        let mut rng = Rng::new(1);
        assert_eq!(
            NetFaults::default().fate(&mut rng),
            [Some(Duration::ZERO), None]
        );
        let lost = NetFaults {
            loss: Chance::ALWAYS,
            ..NetFaults::default()
        };
        assert_eq!(lost.fate(&mut rng), [None, None]);
        let twice = NetFaults {
            duplicate: Chance::ALWAYS,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(5),
            ..NetFaults::default()
        };
        for delay in twice.fate(&mut rng) {
            let delay = delay.unwrap();
            assert!(delay >= twice.delay && delay < twice.delay + twice.jitter);
        }
    }
}
