// SPDX-License-Identifier: GPL-3.0-or-later
//! JSON in which nothing is hidden: characters that nobody sees, that change the order of others or
//! act on a terminal are written by their numbers. Whoever reads the JSON gets them as they are.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use tripe_admin::bytes;

/// Writes a value, in one line or indented.
pub(crate) fn write<T: Serialize>(out: impl Write, value: &T, pretty: bool) -> io::Result<()> {
    let out = Escaping(out);
    if pretty {
        serde_json::to_writer_pretty(out, value)?;
    } else {
        serde_json::to_writer(out, value)?;
    }
    Ok(())
}

/// The text of a value, in one line or indented.
pub(crate) fn text<T: Serialize>(value: &T, pretty: bool) -> io::Result<String> {
    let mut text = Vec::new();
    write(&mut text, value, pretty)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// A writer for JSON. Only its strings have characters that are escaped here, so it stays JSON.
struct Escaping<W>(W);

/// Whether a character is escaped. `serde_json` does that for the others of ASCII.
fn is_hidden(c: char) -> bool {
    c == '\x7f' || (!c.is_ascii() && (peerdb::is_invisible(c) || bytes::byte(c).is_some()))
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        // Strings are written whole between two escapes, so no character is split.
        match str::from_utf8(json) {
            Ok(text) if text.contains(is_hidden) => {
                let mut escaped = String::with_capacity(2 * text.len());
                for c in text.chars() {
                    if !is_hidden(c) {
                        escaped.push(c);
                        continue;
                    }
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(escaped, "\\u{unit:04x}");
                    }
                }
                self.0.write_all(escaped.as_bytes())?;
            }
            _ => self.0.write_all(json)?,
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_read_back() {
        let odd = "gr\u{fc}n \u{202e}gpj\u{200b}\u{9b}31m\x7f\x1b \u{e0041}\u{10ffff}";
        let json = text(&[odd], false).unwrap();
        assert_eq!(
            json,
            "[\"gr\u{fc}n \\u202egpj\\u200b\\u009b31m\\u007f\\u001b \\udb40\\udc41\\udbff\\udfff\"]"
        );
        for pretty in [false, true] {
            let json = text(&[odd], pretty).unwrap();
            let [read]: [String; 1] = serde_json::from_str(&json).unwrap();
            assert_eq!(read, odd);
        }
    }
}
