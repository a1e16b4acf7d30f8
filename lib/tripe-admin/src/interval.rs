// SPDX-License-Identifier: GPL-3.0-or-later
//! Time intervals as the manuals write them: a nonnegative integer and an optional unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time interval of whole seconds, written `30`, `30s`, `5m`, `2h` or `1d` (the manual,
/// "Operation"; tripe-admin(5)).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Interval(u32);

/// Why a text is no time interval.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IntervalError {
    /// The text is not digits followed by at most one unit letter.
    #[error("expected a nonnegative whole number and optionally d, h, m or s, such as 30s or 5m")]
    Syntax,
    /// The interval is longer than [`Interval::MAX`].
    #[error("an interval may be at most {} days", Interval::MAX.seconds() / 86_400)]
    TooLong,
}

impl Interval {
    /// The longest interval accepted: 10,000 days. It keeps every sum of deadlines far from
    /// overflow and is longer than any machine stays up.
    pub const MAX: Interval = Interval(10_000 * 86_400);

    /// An interval of `seconds`, capped at [`Interval::MAX`].
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Interval(seconds)
        }
    }

    /// The interval in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The interval as a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'd') => (&text[..text.len() - 1], 86_400),
            Some(b'h') => (&text[..text.len() - 1], 3_600),
            Some(b'm') => (&text[..text.len() - 1], 60),
            Some(b's') => (&text[..text.len() - 1], 1),
            _ => (text, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IntervalError::Syntax);
        }
        // Only digits are left, so the one way to fail is a number too large.
        let number: u64 = digits.parse().map_err(|_| IntervalError::TooLong)?;
        let seconds = number.checked_mul(unit).ok_or(IntervalError::TooLong)?;
        match u32::try_from(seconds) {
            Ok(seconds) if seconds <= Self::MAX.0 => Ok(Interval(seconds)),
            _ => Err(IntervalError::TooLong),
        }
    }
}

impl fmt::Display for Interval {
    /// Plain seconds, the form that every reader of the manuals' syntax takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_the_manual_is_read() {
        let table = [
            ("0", 0),
            ("30", 30),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7_200),
            ("1d", 86_400),
        ];
        for (text, seconds) in table {
            assert_eq!(text.parse(), Ok(Interval::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "s", "-1", "+1", "1.5", "1 s", " 1", "1w", "1S", "5mm", "é", "1é", "0x10",
        ] {
            assert_eq!(
                text.parse::<Interval>(),
                Err(IntervalError::Syntax),
                "{text}"
            );
        }
        for text in [
            "10001d",
            "99999999999999999999",
            "99999999999999999d",
            "4294967296",
        ] {
            assert_eq!(
                text.parse::<Interval>(),
                Err(IntervalError::TooLong),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..=Interval::MAX.seconds()) {
            let interval = Interval::from_secs(seconds);
            prop_assert_eq!(interval.to_string().parse(), Ok(interval));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            let _ = text.parse::<Interval>();
        }
    }
}
