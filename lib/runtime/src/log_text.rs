// SPDX-License-Identifier: GPL-3.0-or-later
//! What may be in the log: text that comes from others is written on one line, has no codes for a
//! terminal, and is limited in length.
//!
//! Every entry goes through this, on standard error and in the journal alike, so no other code that
//! logs has to do it.

use std::fmt::{self, Write};

use connect_ipc::foreign::is_plain;
use tripe_admin::bytes;

/// How long the text of an entry may be. The longest line of the tripe server is shorter.
pub(crate) const MAX_ENTRY: usize = 4 * 1024;

/// Text that is escaped as it is written, up to a length.
#[derive(Debug)]
pub(crate) struct LogText {
    text: String,
    room: usize,
    left_out: usize,
}

impl LogText {
    pub(crate) const fn new(room: usize) -> Self {
        LogText {
            text: String::new(),
            room,
            left_out: 0,
        }
    }

    /// How much more may be written.
    pub(crate) const fn room(&self) -> usize {
        self.room.saturating_sub(self.text.len())
    }

    /// The text, with a note of what was left out.
    pub(crate) fn finish(mut self) -> String {
        if self.left_out > 0 {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "... ({} more bytes)", self.left_out);
        }
        self.text
    }
}

impl Write for LogText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, c) in text.char_indices() {
            if self.room() == 0 {
                self.left_out += text.len() - at;
                break;
            }
            if let Some(byte) = bytes::byte(c) {
                self.text.extend(byte.escape_ascii().map(char::from));
            } else if is_plain(c) {
                self.text.push(c);
            } else {
                self.text.extend(c.escape_default());
            }
        }
        Ok(())
    }
}

/// A text as an entry may have it.
pub(crate) fn entry(text: &str) -> String {
    escaped(text, MAX_ENTRY)
}

/// A text on one line, as long as it is.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, usize::MAX)
}

fn escaped(text: &str, room: usize) -> String {
    let mut escaped = LogText::new(room);
    // Writing to memory cannot fail.
    let _ = escaped.write_str(text);
    escaped.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_to_its_line_and_its_length() {
        assert_eq!(entry("NOTE USER \"gr\u{fc}n\""), "NOTE USER \"gr\u{fc}n\"");
        assert_eq!(
            entry("a\nb\r\x1b[2J\u{202e}\u{9b}\t"),
            "a\\nb\\r\\u{1b}[2J\\u{202e}\\u{9b}\\t"
        );
        assert_eq!(entry(&bytes::decode(b"a\xffb")), "a\\xffb");
        let long = entry(&"x".repeat(MAX_ENTRY + 10));
        assert_eq!(long, "x".repeat(MAX_ENTRY) + "... (10 more bytes)");
        assert_eq!(one_line(&"x".repeat(MAX_ENTRY + 10)).len(), MAX_ENTRY + 10);
    }

    #[test]
    fn what_is_escaped_once_is_not_changed_again() {
        let once = entry("a\n\\\u{202e}\"");
        assert_eq!(entry(&once), once);
    }
}
