// SPDX-License-Identifier: GPL-3.0-or-later
//! Typed access to a record's values, with errors that an operator can act on.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use tripe_admin::interval::IntervalError;
use tripe_admin::{Interval, Words};

use crate::record::Record;

/// Whether a value means "true": exactly `t`, `true`, `y`, `yes` and `on` do (connect(8),
/// "Adoption").
#[must_use]
pub fn is_true(value: &str) -> bool {
    matches!(value, "t" | "true" | "y" | "yes" | "on")
}

/// What a value should have been.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Expected {
    /// A time interval of connect(8).
    Interval,
    /// A time interval short enough for the program's clock.
    ShorterInterval,
    /// A whole number within these bounds.
    Integer(RangeInclusive<u32>),
    /// At least one word, quoted as in tripe-admin(5), without a NUL character.
    Words,
    /// Text without line breaks and NUL characters, and not empty.
    Line,
    /// One word without white space.
    Word,
    /// `PASSIVE` or an address in words.
    Peer,
    /// A port number.
    Port,
    /// The name of a network interface.
    Interface,
    /// Network addresses, perhaps with masks.
    Addresses,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Interval => f.write_str(
                "a time interval (a whole number, with d, h, m or s after it if not in seconds)",
            ),
            Expected::ShorterInterval => {
                let days = Interval::MAX.seconds() / 86_400;
                write!(f, "a time interval of at most {days} days")
            }
            Expected::Integer(range) => {
                write!(
                    f,
                    "a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            }
            Expected::Words => f.write_str("at least one word and no NUL character"),
            Expected::Line => f.write_str("one line of text"),
            Expected::Word => f.write_str("one word without blanks"),
            Expected::Peer => f.write_str("PASSIVE or [INET|INET6|ANY] HOST [PORT]"),
            Expected::Port => f.write_str("a port from 1 to 65535"),
            Expected::Interface => {
                f.write_str("an interface name (at most 15 bytes, without blanks, / and :)")
            }
            Expected::Addresses => f.write_str("addresses such as 10.0.0.1 or 2001:db8::1/64"),
            Expected::OneOf(words) => f.write_str(&words.join(" or ")),
        }
    }
}

/// Why a record's value could not be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// The record lacks a key that must be there.
    #[error(
        "peer {peer} has no key {key}: give it one in the peer's section and compile again",
        peer = one_line(peer),
        key = one_line(key)
    )]
    Missing {
        /// The peer's name.
        peer: String,
        /// The key.
        key: String,
    },
    /// The value is not of the key's type.
    #[error(
        "peer {peer} has {key} = {}, where {expected} is expected: correct it in the peer's \
         section and compile again",
        shown(value),
        peer = one_line(peer),
        key = one_line(key)
    )]
    Unexpected {
        /// The peer's name.
        peer: String,
        /// The key.
        key: String,
        /// The value as it stands.
        value: String,
        /// What it should have been.
        expected: Expected,
    },
}

/// A name as it is shown in a message: as it stands, but for characters that would break the line
/// or do something to a terminal.
pub(crate) fn one_line(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let mut shown = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A value as it is shown in a message: on one line, and not longer than a reader can take in.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

impl Record {
    /// Whether the value of `key` means "true", see [`is_true`]; a missing key does not.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_true)
    }

    /// Whether this peer waits to be contacted: its `peer` is exactly `PASSIVE`.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.get("peer") == Some("PASSIVE")
    }

    /// The value of `key` as a time interval (connect(8), "Operation"); `None` without the key.
    ///
    /// # Errors
    ///
    /// The value is not such an interval, or longer than [`Interval::MAX`].
    pub fn interval(&self, key: &str) -> Result<Option<Interval>, ValueError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|error| {
            let expected = match error {
                IntervalError::Syntax => Expected::Interval,
                IntervalError::TooLong => Expected::ShorterInterval,
            };
            self.unexpected(key, value, expected)
        })
    }

    /// The value of `key` as a whole number within `range`, in decimal digits without a sign;
    /// `None` without the key.
    ///
    /// # Errors
    ///
    /// The value is not such a number or outside the range.
    pub fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ValueError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.parse() {
            // `parse` would take a plus sign.
            Ok(number) if range.contains(&number) && !value.starts_with('+') => Ok(Some(number)),
            _ => Err(self.unexpected(key, value, Expected::Integer(range))),
        }
    }

    /// The value of `key` split into words with the quoting of tripe-admin(5); `None` without the
    /// key, never an empty list.
    ///
    /// # Errors
    ///
    /// There is no word in the value, or a NUL character, which no program could be given.
    pub fn words(&self, key: &str) -> Result<Option<Vec<String>>, ValueError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let words = Words::new(value).owned();
        if words.is_empty() || value.contains('\0') {
            return Err(self.unexpected(key, value, Expected::Words));
        }
        Ok(Some(words))
    }

    /// The value of `key` as text that fits into one line, and so into a word of an administration
    /// command; `None` without the key.
    ///
    /// # Errors
    ///
    /// The value is empty, or has a line break or a NUL character in it.
    pub fn text(&self, key: &str) -> Result<Option<&str>, ValueError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        if value.is_empty() || value.contains(['\n', '\r', '\0']) {
            return Err(self.unexpected(key, value, Expected::Line));
        }
        Ok(Some(value))
    }

    /// As [`Record::text`], for a key that must be there.
    ///
    /// # Errors
    ///
    /// The key is missing, or as for [`Record::text`].
    pub fn required(&self, key: &str) -> Result<&str, ValueError> {
        self.text(key)?.ok_or_else(|| ValueError::Missing {
            peer: self.name().to_owned(),
            key: key.to_owned(),
        })
    }

    fn unexpected(&self, key: &str, value: &str, expected: Expected) -> ValueError {
        ValueError::Unexpected {
            peer: self.name().to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(value: &str) -> Record {
        Record::new("hub", [("k", value)])
    }

    #[test]
    fn exactly_five_words_are_true() {
        for value in ["t", "true", "y", "yes", "on"] {
            assert!(hub(value).flag("k"), "{value}");
        }
        for value in [
            "", "1", "T", "True", "YES", "On", " t", "tt", "f", "no", "off",
        ] {
            assert!(!hub(value).flag("k"), "{value}");
        }
        assert!(!hub("t").flag("other"));
    }

    #[test]
    fn only_the_exact_word_makes_a_peer_passive() {
        let peer = |value| Record::new("p", [("peer", value)]).is_passive();
        assert!(peer("PASSIVE"));
        assert!(!peer("passive"));
        assert!(!peer("INET hub 4070"));
        assert!(!hub("PASSIVE").is_passive());
    }

    #[test]
    fn intervals_are_read() {
        assert_eq!(hub("5m").interval("k"), Ok(Some(Interval::from_secs(300))));
        assert_eq!(hub("5m").interval("every"), Ok(None));
        let error = hub("soon").interval("k").unwrap_err();
        assert_eq!(
            error.to_string(),
            "peer hub has k = \"soon\", where a time interval (a whole number, with d, h, m or s \
             after it if not in seconds) is expected: correct it in the peer's section and compile \
             again"
        );
        assert!(matches!(
            hub("99999d").interval("k"),
            Err(ValueError::Unexpected {
                expected: Expected::ShorterInterval,
                ..
            })
        ));
    }

    #[test]
    fn integers_are_read_within_their_range() {
        assert_eq!(hub("5").integer("k", 1..=9), Ok(Some(5)));
        assert_eq!(hub("5").integer("other", 1..=9), Ok(None));
        for value in ["0", "10", "-1", "+5", "", "5.0", "5 ", "99999999999"] {
            let error = hub(value).integer("k", 1..=9).unwrap_err();
            assert!(
                error.to_string().contains("a whole number from 1 to 9"),
                "{value}"
            );
        }
    }

    #[test]
    fn words_are_split_with_quotes() {
        assert_eq!(
            hub("/bin/up 'a b' c").words("k"),
            Ok(Some(vec!["/bin/up".into(), "a b".into(), "c".into()]))
        );
        assert_eq!(hub("").words("other"), Ok(None));
        for value in ["", "  ", "a\0b"] {
            assert!(hub(value).words("k").is_err(), "{value:?}");
        }
    }

    #[test]
    fn text_fits_into_a_line() {
        assert_eq!(hub("a b").text("k"), Ok(Some("a b")));
        assert_eq!(hub("a b").text("other"), Ok(None));
        for value in ["", "a\nb", "a\0", "a\r"] {
            assert!(hub(value).text("k").is_err(), "{value:?}");
        }
        assert_eq!(hub("x").required("k"), Ok("x"));
        assert_eq!(
            hub("x").required("peer").unwrap_err().to_string(),
            "peer hub has no key peer: give it one in the peer's section and compile again"
        );
    }

    #[test]
    fn names_in_messages_keep_to_their_line() {
        assert_eq!(one_line("h\u{e9}llo world"), "h\u{e9}llo world");
        assert_eq!(one_line("a\nb\u{1b}[1m\0"), "a\\nb\\u{1b}[1m\\u{0}");
        let error = Record::new("a\nb", [("k", "v")])
            .required("x\ty")
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("peer a\\nb has no key x\\ty:"),
            "{error}"
        );
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let error = hub(&"é".repeat(500)).interval("k").unwrap_err();
        assert!(error.to_string().chars().count() < 300);
    }
}
