// SPDX-License-Identifier: GPL-3.0-or-later
//! Cutting a stream of bytes into lines, wherever the reads happen to fall, with a bound on memory.

use std::borrow::Cow;

/// The longest line accepted from a server: 64 KiB. The protocol states no limit for the server's
/// output; what is longer than this is no answer to anything.
pub const MAX_RECEIVED: usize = 64 * 1024;

/// The least room offered to a read: a page, which holds the answers of a hundred pings. With less,
/// a burst would take a system call for every few lines.
const READ_AT_LEAST: usize = 4 * 1024;

/// The most room offered to a read: what a Unix socket holds is not much more.
const READ_AT_MOST: usize = 64 * 1024;

/// How much of an over-long line is kept to be named in a message.
const KEPT_OF_TOO_LONG: usize = 80;

/// One line cut from the stream, without its newline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line<'a> {
    /// A complete line. Of bytes that are no UTF-8, see [`bytes`](crate::bytes).
    Text(Cow<'a, str>),
    /// A line longer than the limit, thrown away.
    TooLong {
        /// Its beginning, so that a message can name it.
        start: String,
        /// Its whole length in bytes.
        length: usize,
    },
}

/// Collects bytes and hands out lines.
///
/// ```
/// use tripe_admin::line::{Line, LineBuffer};
/// let mut lines = LineBuffer::new(1024);
/// lines.push(b"O");
/// assert_eq!(lines.next_line(), None);
/// lines.push(b"K\nINFO x\n");
/// assert_eq!(lines.next_line(), Some(Line::Text("OK".into())));
/// assert_eq!(lines.next_line(), Some(Line::Text("INFO x".into())));
/// ```
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the line under way starts in `bytes`.
    start: usize,
    /// Up to where `bytes` is known to hold no newline.
    searched: usize,
    limit: usize,
    /// The over-long line under way: its kept beginning and its length so far.
    oversize: Option<(String, usize)>,
}

impl LineBuffer {
    /// A buffer for lines of at most `limit` bytes, newline not counted.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        LineBuffer {
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            limit,
            oversize: None,
        }
    }

    /// From now on lines may have at most `limit` bytes.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The line under way, if it is too long already. The rest of it is thrown away all the same.
    #[must_use]
    pub fn too_long(&self) -> Option<Line<'static>> {
        let (start, length) = self.oversize.clone()?;
        Some(Line::TooLong { start, length })
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer to append a read to, for readers that fill a vector in place.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        // A read that filled all its room has likely left something behind, so the next gets more.
        let filled = self.bytes.len() == self.bytes.capacity();
        self.make_room();
        let room = if filled { self.bytes.capacity() } else { 0 };
        self.bytes.reserve(room.clamp(READ_AT_LEAST, READ_AT_MOST));
        &mut self.bytes
    }

    /// Forgets everything, as for a new connection.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.start, self.searched, self.oversize) = (0, 0, None);
    }

    /// Drops what has been handed out, once it is worth the copy.
    fn make_room(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
        } else {
            return;
        }
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
    }

    /// The next complete line, if there is one.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        let from = self.searched.max(self.start);
        let newline = memchr::memchr(b'\n', self.bytes.get(from..)?).map(|at| from + at);
        let (start, end) = (self.start, newline.unwrap_or(self.bytes.len()));
        let length = end - start;
        if newline.is_none() {
            self.searched = end;
            if length > self.limit || self.oversize.is_some() {
                // Count and forget: memory stays bounded however long the line grows.
                self.discard(start, end);
                self.start = end;
            }
            return None;
        }
        self.start = end + 1;
        self.searched = end + 1;
        if self.oversize.is_some() || length > self.limit {
            self.discard(start, end);
            let (start, length) = self.oversize.take()?;
            return Some(Line::TooLong { start, length });
        }
        let bytes = &self.bytes[start..end];
        Some(Line::Text(crate::bytes::decode(bytes)))
    }

    fn discard(&mut self, start: usize, end: usize) {
        let bytes = &self.bytes[start..end];
        let (_, length) = self.oversize.get_or_insert_with(|| {
            let kept = &bytes[..bytes.len().min(KEPT_OF_TOO_LONG)];
            (String::from_utf8_lossy(kept).into_owned(), 0)
        });
        *length += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(buffer: &mut LineBuffer) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(line) = buffer.next_line() {
            found.push(match line {
                Line::Text(text) => text.into_owned(),
                Line::TooLong { start, length } => format!("<{start} {length}>"),
            });
        }
        found
    }

    #[test]
    fn of_an_over_long_line_only_the_line_is_lost() {
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"OK\nabc");
        assert_eq!(all(&mut buffer), ["OK"]);
        buffer.push(b"def");
        assert_eq!(all(&mut buffer), [""; 0]);
        buffer.push(b"ghi\nOK\n");
        assert_eq!(all(&mut buffer), ["<abcdef 9>", "OK"]);
    }

    #[test]
    fn an_endless_line_does_not_grow_the_buffer() {
        let mut buffer = LineBuffer::new(100);
        for _ in 0..10_000 {
            buffer.push(&[b'x'; 100]);
            assert_eq!(buffer.next_line(), None);
        }
        assert!(
            buffer.bytes.capacity() < 1_000,
            "{}",
            buffer.bytes.capacity()
        );
        let kept = "x".repeat(KEPT_OF_TOO_LONG);
        buffer.push(b"\n");
        assert_eq!(
            buffer.next_line(),
            Some(Line::TooLong {
                start: kept,
                length: 1_000_000
            })
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_apart() {
        let mut buffer = LineBuffer::new(100);
        buffer.push(b"a\xffb\na\xfeb\n");
        assert_eq!(all(&mut buffer), ["a\u{10ffff}b", "a\u{10fffe}b"]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_the_reads_fall(
            lines in proptest::collection::vec("[^\n]{0,20}", 0..20),
            cuts in proptest::collection::vec(0usize..300, 0..20),
        ) {
            let text = lines.iter().fold(String::new(), |all, line| all + line + "\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.sort_unstable();
            let mut buffer = LineBuffer::new(1000);
            let mut found = Vec::new();
            let mut at = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                buffer.push(&text[at..cut]);
                found.extend(all(&mut buffer));
                at = cut;
            }
            prop_assert_eq!(found, lines);
        }
    }
}
