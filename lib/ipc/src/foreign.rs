// SPDX-License-Identifier: GPL-3.0-or-later
//! Text that somebody else wrote, in the form in which it may enter an error or the log.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// How many characters of a foreign text are shown: enough to see what it is.
const SHOWN: usize = 60;

/// How many words of a foreign command are shown. The longest command of the manual has seven.
const WORDS: usize = 8;

/// Whether a character may be in a line unchanged: it does not end the line, does not act on a
/// terminal, does not change the order of the characters beside it, and is visible. This lists what
/// is allowed, so that no list of bad characters must be kept up to date.
#[must_use]
pub fn is_plain(c: char) -> bool {
    // Unicode counts these as letters, although they are invisible.
    let filler = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    c == ' ' || c.is_ascii_graphic() || (c.is_alphanumeric() && !filler)
}

/// The beginning of a foreign text, on one line, with every character that is not
/// [plain](is_plain) escaped.
///
/// ```
/// use connect_ipc::foreign::Foreign;
///
/// assert_eq!(Foreign::new("gr\u{fc}n\nERROR").to_string(), "gr\u{fc}n\\nERROR");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreign(String);

impl Foreign {
    /// Takes the beginning of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Foreign::up_to(SHOWN, text)
    }

    /// Takes at most this many characters of a text, for a sentence of ours that quotes a foreign
    /// word.
    pub(crate) fn up_to(most: usize, text: &str) -> Self {
        let mut shown = String::new();
        let mut characters = text.chars();
        for c in characters.by_ref().take(most) {
            if is_plain(c) {
                shown.push(c);
            } else {
                shown.extend(c.escape_default());
            }
        }
        if characters.next().is_some() {
            shown.push_str("...");
        }
        Foreign(shown)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For a text in a message that only people read.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    String::deserialize(text).map(|text| Foreign::new(&text).0)
}

/// The words of a foreign command: the first of them, each as [`Foreign`], in quotes where it would
/// look like several or like none.
#[derive(Clone, Copy, Debug)]
pub struct ForeignWords<'a>(pub &'a [String]);

impl fmt::Display for ForeignWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().take(WORDS).enumerate() {
            let gap = if at == 0 { "" } else { " " };
            let quote = if word.is_empty() || word.contains([' ', '"']) {
                "\""
            } else {
                ""
            };
            write!(f, "{gap}{quote}{}{quote}", Foreign::new(word))?;
        }
        match self.0.len().saturating_sub(WORDS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_text_keeps_to_its_line_and_cannot_command_a_terminal() {
        let shown = |text: &str| Foreign::new(text).to_string();
        assert_eq!(shown("m\u{fc}nchen 7"), "m\u{fc}nchen 7");
        assert_eq!(shown("a\nb\x1b[2J\x07"), "a\\nb\\u{1b}[2J\\u{7}");
        assert_eq!(
            shown("\u{202e}txt\u{200b}\u{3164}\u{9b}"),
            "\\u{202e}txt\\u{200b}\\u{3164}\\u{9b}"
        );
        assert_eq!(shown(&"x".repeat(SHOWN)), "x".repeat(SHOWN));
        assert_eq!(
            shown(&"\u{fc}".repeat(SHOWN + 1)),
            "\u{fc}".repeat(SHOWN) + "..."
        );
    }

    #[test]
    fn a_foreign_command_is_shown_by_its_first_words() {
        let words = |line: &[&str]| {
            let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            ForeignWords(&words).to_string()
        };
        assert_eq!(words(&[]), "");
        assert_eq!(words(&["kick", "a b", ""]), "kick \"a b\" \"\"");
        assert_eq!(
            words(&["x\n", &"y".repeat(100)]),
            format!("x\\n {}...", "y".repeat(60))
        );
        assert_eq!(words(&["w"; 10]), "w w w w w w w w and 2 more");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short_and_plain(text in any::<String>(), odd in "\\PC{0,200}") {
            for text in [text, odd] {
                let shown = Foreign::new(&text).to_string();
                prop_assert!(shown.chars().all(is_plain), "{shown:?}");
                // `\u{10ffff}' is the longest form of a character.
                prop_assert!(shown.chars().count() <= SHOWN * 10 + 3, "{shown}");
                if text.chars().all(is_plain) {
                    prop_assert!(shown.chars().count() <= SHOWN + 3);
                }
            }
        }
    }
}
