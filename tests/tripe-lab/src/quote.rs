// SPDX-License-Identifier: GPL-3.0-or-later
//! How the server writes its lines: one space between words, words quoted only where its own rule
//! asks for it (tripe-admin.md, 1.4).
//!
//! This is not the quoting of `tripe_admin::token`, which is what a careful client sends: the
//! server's rule knows fewer characters, and whether the backslash is one of them is an open
//! question, so it is a switch.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use crate::switches::Backslash;

/// A line under construction.
#[derive(Clone, Debug)]
pub struct Line {
    text: String,
    backslash: Backslash,
}

impl Line {
    /// A line that starts with the bare word `head`.
    #[must_use]
    pub fn new(head: &str, backslash: Backslash) -> Self {
        let mut text = String::with_capacity(64);
        text.push_str(head);
        Line { text, backslash }
    }

    /// Whether the server's rule wants `word` in quotes.
    fn wants_quotes(&self, word: &str) -> bool {
        word.is_empty()
            || word.bytes().any(|b| match b {
                b'"' | b'\'' | b' ' | b'\t' | b'\n' | 0x0b => true,
                b'\\' => self.backslash == Backslash::Quoted,
                _ => false,
            })
    }

    /// Adds a word.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        self.text.push(' ');
        if self.wants_quotes(word) {
            self.text.push('"');
            for c in word.chars() {
                if matches!(c, '"' | '\\') {
                    self.text.push('\\');
                }
                self.text.push(c);
            }
            self.text.push('"');
        } else {
            self.text.push_str(word);
        }
        self
    }

    /// Adds several words.
    #[must_use]
    pub fn words<I>(self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        words
            .into_iter()
            .fold(self, |line, word| line.word(word.as_ref()))
    }

    /// Adds one `KEY=VALUE` word, quoted as a whole if it must be.
    #[must_use]
    pub fn pair(self, key: &str, value: impl fmt::Display) -> Self {
        let pair = format!("{key}={value}");
        self.word(&pair)
    }

    /// Adds the three words of an address.
    #[must_use]
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        let family = if addr.is_ipv4() { "INET" } else { "INET6" };
        // Writing to a string cannot fail, and none of these words ever needs quotes.
        let _ = write!(self.text, " {family} {} {}", addr.ip(), addr.port());
        self
    }

    /// Adds text as it stands, after a space: help texts and traces are not words.
    #[must_use]
    pub fn raw(mut self, text: impl fmt::Display) -> Self {
        let _ = write!(self.text, " {text}");
        self
    }

    /// The finished line, without a newline.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str, backslash: Backslash) -> String {
        Line::new("INFO", backslash).word(word).finish()
    }

    #[test]
    fn words_are_quoted_by_the_servers_rule() {
        for (word, line) in [
            ("plain", "INFO plain"),
            ("", r#"INFO """#),
            ("two words", r#"INFO "two words""#),
            ("it's", r#"INFO "it's""#),
            (r#"a"b\c"#, r#"INFO "a\"b\\c""#),
            ("tab\tx", "INFO \"tab\tx\""),
        ] {
            for backslash in [Backslash::Bare, Backslash::Quoted] {
                assert_eq!(one(word, backslash), line);
            }
        }
        // Not in the server's set, though white space when split.
        assert_eq!(one("a\x0cb", Backslash::Bare), "INFO a\x0cb");
    }

    #[test]
    fn the_backslash_is_a_switch() {
        assert_eq!(one(r"a\b", Backslash::Bare), r"INFO a\b");
        assert_eq!(one(r"a\b", Backslash::Quoted), r#"INFO "a\\b""#);
    }

    #[test]
    fn addresses_are_three_words() {
        let line = |addr: &str| {
            Line::new("INFO", Backslash::Bare)
                .addr(addr.parse().unwrap())
                .finish()
        };
        assert_eq!(line("192.0.2.1:4070"), "INFO INET 192.0.2.1 4070");
        assert_eq!(line("[2001:db8::1]:1"), "INFO INET6 2001:db8::1 1");
    }
}
