// SPDX-License-Identifier: GPL-3.0-or-later
//! Typed access to a record's values, with errors that an operator can act on.

use std::ops::RangeInclusive;

use peerdb::{Name, Record, Value};
use tripe_admin::interval::IntervalError;
use tripe_admin::{Interval, Words};

/// What a value should have been.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Expected {
    /// A time interval of the manual.
    #[error("a time interval (a whole number, with d, h, m or s after it if not in seconds)")]
    Interval,
    /// A time interval short enough for the program's clock.
    #[error("a time interval of at most {} days", Interval::MAX.seconds() / 86_400)]
    ShorterInterval,
    /// A time interval that is not too short.
    #[error("a time interval of at least {} s", .0.seconds())]
    LongerInterval(Interval),
    /// A whole number within these bounds.
    #[error("a whole number from {} to {}", .0.start(), .0.end())]
    Integer(RangeInclusive<u32>),
    /// At least one word, quoted as in tripe-admin(5), without a NUL character.
    #[error("at least one word and no NUL character")]
    Words,
    /// Text without line breaks and NUL characters, and not empty.
    #[error("one line of text")]
    Line,
    /// One word without white space.
    #[error("one word without blanks")]
    Word,
    /// `PASSIVE` or an address in words.
    #[error("PASSIVE or [INET|INET6|ANY] HOST [PORT]")]
    Peer,
    /// A port number.
    #[error("a port from 1 to 65535")]
    Port,
    /// The name of a network interface.
    #[error("an interface name (1 to 15 bytes and not {length}, without blanks, / and :)")]
    Interface {
        /// How many bytes it has.
        length: usize,
    },
    /// Network addresses, perhaps with masks.
    #[error("addresses such as 10.0.0.1 or 2001:db8::1/64")]
    Addresses,
    /// One of these words.
    #[error("{}", .0.join(" or "))]
    OneOf(&'static [&'static str]),
}

/// Why a record's value could not be used: it is not of the key's type.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "peer {peer} has {key} = {value}, where {expected} is expected: correct it in the peer's \
     section and compile again"
)]
pub struct ValueError {
    /// The peer's name.
    pub peer: Name,
    /// The key.
    pub key: Name,
    /// The value as it stands.
    pub value: Value,
    /// What it should have been.
    pub expected: Expected,
}

/// The value of `key` as a time interval (the manual, "Operation"); `None` without the key.
///
/// # Errors
/// [`ValueError`] if it is not such an interval, or longer than [`Interval::MAX`].
pub(crate) fn interval(record: &Record, key: &str) -> Result<Option<Interval>, ValueError> {
    parsed(record, key, parse_interval)
}

/// The value of `key` as a whole number within `range`, in decimal digits without a sign; `None`
/// without the key.
///
/// # Errors
/// [`ValueError`] if it is not such a number or outside the range.
pub(crate) fn integer(
    record: &Record,
    key: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ValueError> {
    parsed(record, key, |value| parse_integer(value, &range))
}

/// The value of `key` split into words with the quoting of tripe-admin(5); `None` without the key,
/// never an empty list.
///
/// # Errors
/// [`ValueError`] if there is no word in it, or a NUL character, which no program could be given.
pub(crate) fn words(record: &Record, key: &str) -> Result<Option<Vec<String>>, ValueError> {
    parsed(record, key, |value| {
        let words = Words::new(value).owned();
        let good = !words.is_empty() && !value.contains('\0');
        good.then_some(words).ok_or(Expected::Words)
    })
}

/// The value of `key` as text that fits into one line, and so into a word of an administration
/// command; `None` without the key.
///
/// # Errors
/// [`ValueError`] if it is empty, or has a line break or a NUL character in it.
pub(crate) fn text<'a>(record: &'a Record, key: &str) -> Result<Option<&'a str>, ValueError> {
    parsed(record, key, |value| {
        let good = !value.is_empty() && !value.contains(['\n', '\r', '\0']);
        good.then_some(value).ok_or(Expected::Line)
    })
}

fn parsed<'a, T>(
    record: &'a Record,
    key: &str,
    parse: impl FnOnce(&'a str) -> Result<T, Expected>,
) -> Result<Option<T>, ValueError> {
    let Some(value) = record.get(key) else {
        return Ok(None);
    };
    let result = parse(value).map(Some);
    result.map_err(|expected| unexpected(record, key, value, expected))
}

/// The error for the value of `key`.
pub(crate) fn unexpected(
    record: &Record,
    key: &str,
    value: &str,
    expected: Expected,
) -> ValueError {
    ValueError {
        peer: record.name().into(),
        key: key.into(),
        value: value.into(),
        expected,
    }
}

/// A value as a time interval.
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse_interval(value: &str) -> Result<Interval, Expected> {
    value.parse().map_err(|error| match error {
        IntervalError::Syntax => Expected::Interval,
        IntervalError::TooLong => Expected::ShorterInterval,
    })
}

/// A value as a whole number within `range`.
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse_integer(value: &str, range: &RangeInclusive<u32>) -> Result<u32, Expected> {
    // `parse` would take a plus sign.
    let number = value.parse().ok().filter(|_| !value.starts_with('+'));
    let number = number.filter(|number| range.contains(number));
    number.ok_or_else(|| Expected::Integer(range.clone()))
}

/// Whether nothing but digits is in the text; a number is more than that, since it is not empty.
pub(crate) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a host can only be meant for an IPv4 address: no name of a host ends in a number, be it
/// one in hexadecimal digits.
pub(crate) fn is_numeric(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && (is_digits(last) || is_hexadecimal(last))
}

/// The digits of a hexadecimal number in the notation of C.
pub(crate) fn hexadecimal(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// A whole number in hexadecimal digits, in the notation of C.
pub(crate) fn is_hexadecimal(text: &str) -> bool {
    hexadecimal(text).is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(value: &str) -> Record {
        Record::new("hub", [("k", value)])
    }

    #[test]
    fn intervals_are_read() {
        assert_eq!(
            interval(&hub("5m"), "k"),
            Ok(Some(Interval::from_secs(300)))
        );
        assert_eq!(interval(&hub("5m"), "every"), Ok(None));
        let error = interval(&hub("soon"), "k").unwrap_err();
        assert_eq!(
            error.to_string(),
            "peer hub has k = \"soon\", where a time interval (a whole number, with d, h, m or s \
             after it if not in seconds) is expected: correct it in the peer's section and compile \
             again"
        );
        assert!(matches!(
            interval(&hub("99999d"), "k"),
            Err(ValueError {
                expected: Expected::ShorterInterval,
                ..
            })
        ));
    }

    #[test]
    fn integers_are_read_within_their_range() {
        assert_eq!(integer(&hub("5"), "k", 1..=9), Ok(Some(5)));
        assert_eq!(integer(&hub("5"), "other", 1..=9), Ok(None));
        for value in ["0", "10", "-1", "+5", "", "5.0", "5 ", "99999999999"] {
            let error = integer(&hub(value), "k", 1..=9).unwrap_err();
            assert!(
                error.to_string().contains("a whole number from 1 to 9"),
                "{value}"
            );
        }
    }

    #[test]
    fn words_are_split_with_quotes() {
        assert_eq!(
            words(&hub("/bin/up 'a b' c"), "k"),
            Ok(Some(vec!["/bin/up".into(), "a b".into(), "c".into()]))
        );
        assert_eq!(words(&hub(""), "other"), Ok(None));
        for value in ["", "  ", "a\0b"] {
            assert!(words(&hub(value), "k").is_err(), "{value:?}");
        }
    }

    #[test]
    fn text_fits_into_a_line() {
        assert_eq!(text(&hub("a b"), "k"), Ok(Some("a b")));
        assert_eq!(text(&hub("a b"), "other"), Ok(None));
        for value in ["", "a\nb", "a\0", "a\r"] {
            assert!(text(&hub(value), "k").is_err(), "{value:?}");
        }
    }

    #[test]
    fn names_in_messages_keep_to_their_line() {
        let record = Record::new("a\nb", [("x\ty", "")]);
        let error = text(&record, "x\ty").unwrap_err().to_string();
        assert!(error.starts_with("peer a\\nb has x\\ty = \"\","), "{error}");
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let error = interval(&hub(&"é".repeat(500)), "k").unwrap_err();
        assert!(error.to_string().chars().count() < 300);
    }
}
