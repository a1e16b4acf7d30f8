// SPDX-License-Identifier: GPL-3.0-or-later
//! Cuts what a client sends into command lines, with the limit of tripe-admin.md, 1.2.

use crate::switches::OverLong;

/// Collects bytes and gives lines.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the next line starts; bytes before it are spent.
    start: usize,
    /// Up to where no newline was found, so that nothing is searched twice.
    searched: usize,
    /// The rest of the present line is to be thrown away.
    skipping: bool,
    limit: usize,
    over_long: OverLong,
}

/// What [`LineBuffer::take_line`] found.
#[derive(Debug, Eq, PartialEq)]
pub enum Next<'a> {
    /// A line, without its newline.
    Line(&'a [u8]),
    /// No whole line yet.
    More,
    /// The line is too long and the client is to be disconnected for it.
    Disconnect,
}

impl LineBuffer {
    /// A buffer for lines of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize, over_long: OverLong) -> Self {
        LineBuffer {
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
            limit,
            over_long,
        }
    }

    /// Adds what was read. Take all lines out before adding more: that is what keeps it small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, if there is one.
    pub fn take_line(&mut self) -> Next<'_> {
        loop {
            let newline = self.bytes[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
                .map(|at| self.searched + at);
            let end = newline.unwrap_or(self.bytes.len());
            if self.skipping {
                self.searched = newline.map_or(end, |at| at + 1);
                self.start = self.searched;
                if newline.is_none() {
                    return Next::More;
                }
                self.skipping = false;
                continue;
            }
            if end - self.start > self.limit {
                let line = self.start..self.start + self.limit;
                match self.over_long {
                    OverLong::Split => {
                        self.start = line.end;
                        self.searched = line.end;
                    }
                    OverLong::Truncate => {
                        self.skipping = true;
                        self.start = end;
                        self.searched = end;
                    }
                    OverLong::Disconnect => return Next::Disconnect,
                }
                return Next::Line(&self.bytes[line]);
            }
            if newline.is_none() {
                self.searched = end;
                return Next::More;
            }
            let line = self.start..end;
            self.start = end + 1;
            self.searched = self.start;
            return Next::Line(&self.bytes[line]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(over_long: OverLong, limit: usize, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = LineBuffer::new(limit, over_long);
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            loop {
                match buffer.take_line() {
                    Next::Line(line) => lines.push(line.to_vec()),
                    Next::More => break,
                    Next::Disconnect => {
                        lines.push(b"<cut>".to_vec());
                        return lines;
                    }
                }
            }
        }
        lines
    }

    #[test]
    fn the_three_fates_of_a_long_line() {
        let input: &[&[u8]] = &[b"abcd\nabcdefghij\nxy\n"];
        let table: [(OverLong, &[&[u8]]); 3] = [
            (OverLong::Split, &[b"abcd", b"abcd", b"efgh", b"ij", b"xy"]),
            (OverLong::Truncate, &[b"abcd", b"abcd", b"xy"]),
            (OverLong::Disconnect, &[b"abcd", b"<cut>"]),
        ];
        for (over_long, expected) in table {
            assert_eq!(lines(over_long, 4, input), expected, "{over_long:?}");
        }
    }

    #[test]
    fn a_truncated_line_may_end_in_a_later_read() {
        let chunks: &[&[u8]] = &[b"abcdef", b"ghi", b"j\nxy\n"];
        assert_eq!(lines(OverLong::Truncate, 4, chunks), [&b"abcd"[..], b"xy"]);
    }

    #[test]
    fn without_a_newline_there_is_no_line() {
        assert!(lines(OverLong::Split, 255, &[b"LIST"]).is_empty());
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_makes_no_difference(
            text in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'\n')], 0..60),
            cuts in proptest::collection::vec(1_usize..9, 0..30),
        ) {
            for over_long in [OverLong::Split, OverLong::Truncate, OverLong::Disconnect] {
                let whole = lines(over_long, 5, &[&text]);
                let mut chunks = Vec::new();
                let mut rest = &text[..];
                for cut in &cuts {
                    let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                    chunks.push(chunk);
                    rest = tail;
                }
                chunks.push(rest);
                prop_assert_eq!(&lines(over_long, 5, &chunks), &whole);
            }
        }
    }
}
