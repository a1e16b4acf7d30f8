// SPDX-License-Identifier: GPL-3.0-or-later
//! Names and values from a file or a person, as they are shown in a message.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use crate::characters::is_invisible;

/// A name, shown unchanged except for characters that would break the line, act on a terminal, or
/// be invisible.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Name(String);

/// A value, shown in quotes, on one line, and cut if it is long.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Value(String);

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Name {
    fn from(name: T) -> Self {
        Name(name.into())
    }
}

impl<T: Into<String>> From<T> for Value {
    fn from(value: T) -> Self {
        Value(value.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// A number of things whose name forms its plural with an s: `1 byte`, `2 bytes`.
///
/// ```
/// assert_eq!(peerdb::count(1, "byte"), "1 byte");
/// ```
#[must_use]
pub fn count(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// How a [`Name`] is shown.
pub(crate) fn one_line(name: &str) -> Cow<'_, str> {
    if !name.contains(is_invisible) {
        return Cow::Borrowed(name);
    }
    let mut shown = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// How a [`Value`] is shown.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_messages_keep_to_their_line() {
        let shown = |name: &str| Name::from(name).to_string();
        assert_eq!(shown("h\u{e9}llo world"), "h\u{e9}llo world");
        assert_eq!(shown("a\nb\u{1b}[1m\0"), "a\\nb\\u{1b}[1m\\u{0}");
        assert_eq!(shown("h\u{200b}u\u{a0}b"), "h\\u{200b}u\\u{a0}b");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            [0, 1, 2].map(|number| count(number, "record")),
            ["0 records", "1 record", "2 records"]
        );
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let shown = Value::from("\u{e9}".repeat(500)).to_string();
        assert_eq!(shown.chars().count(), 65, "{shown}");
    }
}
