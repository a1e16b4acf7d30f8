// SPDX-License-Identifier: GPL-3.0-or-later
//! Cutting one output stream of a script into lines, with a limit on what is passed on.
//!
//! A line is passed on at its newline, or as soon as it is known to be too long, or at the end of
//! the stream. Between reads only the unfinished line is kept.

/// The longest line passed on, in bytes: as long as the longest line of the admin protocol. Of a
/// longer one the beginning is passed on.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// What is appended to the beginning of a line that is too long.
const CUT_MARK: &str = "...";

/// How many lines of one stream of one run are passed on. Nobody reads more lines.
pub(crate) const MAX_LINES: u32 = 1_000;

/// How many bytes of one stream of one run are passed on, so that a thousand very long lines do not
/// fill core's memory either.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// One stream's state.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// The beginning of the unfinished line.
    partial: Vec<u8>,
    /// Whether the rest of the unfinished line is dropped; the line itself is counted.
    skipping: bool,
    lines_left: u32,
    bytes_left: usize,
    dropped: u64,
}

impl Cutter {
    pub(crate) const fn new() -> Self {
        Cutter {
            partial: Vec::new(),
            skipping: false,
            lines_left: MAX_LINES,
            bytes_left: MAX_BYTES,
            dropped: 0,
        }
    }

    /// Takes bytes that have arrived and appends the lines that are to be passed on.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], lines: &mut Vec<String>) {
        while !bytes.is_empty() {
            if self.skipping {
                let Some(newline) = newline(bytes) else {
                    return;
                };
                self.skipping = false;
                bytes = &bytes[newline + 1..];
                continue;
            }
            if self.lines_left == 0 {
                self.count(bytes);
                return;
            }
            let room = MAX_LINE - self.partial.len();
            // One byte more than fits, to distinguish a line of exactly the greatest length from a
            // longer one.
            let within = &bytes[..bytes.len().min(room + 1)];
            if let Some(newline) = newline(within) {
                self.complete(&within[..newline], "", lines);
                bytes = &bytes[newline + 1..];
            } else if within.len() > room {
                self.complete(&within[..room], CUT_MARK, lines);
                self.skipping = true;
                bytes = &bytes[room..];
            } else {
                self.partial.extend_from_slice(within);
                return;
            }
        }
    }

    /// Passes on the unfinished line: its writer has ended.
    pub(crate) fn finish(&mut self, lines: &mut Vec<String>) {
        if !self.partial.is_empty() {
            self.complete(b"", "", lines);
        }
        self.skipping = false;
    }

    /// How many lines were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Passes on the line that consists of `partial` and `rest`, or drops it if too much was passed
    /// on before.
    fn complete(&mut self, rest: &[u8], mark: &str, lines: &mut Vec<String>) {
        let length = self.partial.len() + rest.len();
        if length > self.bytes_left {
            self.lines_left = 0;
        }
        if self.lines_left == 0 {
            // No later line will be kept, so the memory is freed.
            self.partial = Vec::new();
            self.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= length;
        let whole = if self.partial.is_empty() {
            rest
        } else {
            self.partial.extend_from_slice(rest);
            &self.partial
        };
        let whole = if mark.is_empty() {
            whole
        } else {
            up_to_character(whole)
        };
        let mut line = String::from_utf8_lossy(whole).into_owned();
        line.push_str(mark);
        lines.push(line);
        self.partial.clear();
        if self.lines_left == 0 {
            self.partial.shrink_to_fit();
        }
    }

    /// Counts the lines in `bytes` without keeping any; the one that is not complete yet counts
    /// when it begins.
    fn count(&mut self, bytes: &[u8]) {
        // Every newline ends a line; the first of them one that was perhaps begun earlier and is
        // not counted yet, as `partial` is empty once nothing is passed on any more.
        let newlines = bytes.iter().filter(|b| **b == b'\n').count();
        let begun = usize::from(bytes.last().is_some_and(|b| *b != b'\n'));
        self.skipping = begun == 1;
        self.dropped += (newlines + begun) as u64;
    }
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

/// `bytes` without a character that was cut in two at the end.
fn up_to_character(bytes: &[u8]) -> &[u8] {
    // A character has at most four bytes, the first of which is not a continuation byte.
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let width = match bytes[at] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            0x00..=0x7f => 1,
        };
        return if width > back { &bytes[..at] } else { bytes };
    }
    bytes
}

/// The lines of one stream that arrives in these pieces, and how many were dropped.
#[cfg(any(test, fuzzing))]
pub(crate) fn cut(pieces: &[&[u8]]) -> (Vec<String>, u64) {
    let mut cutter = Cutter::new();
    let mut lines = Vec::new();
    for piece in pieces {
        cutter.feed(piece, &mut lines);
    }
    cutter.finish(&mut lines);
    (lines, cutter.take_dropped())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_newline_ends_a_line_and_the_last_may_lack_it() {
        let (lines, _) = cut(&[b"a\n\nb\r\nc", b"d"]);
        assert_eq!(lines, ["a", "", "b\r", "cd"]);
        assert_eq!(cut(&[]).0, [""; 0]);
        assert_eq!(cut(&[b"\n"]).0, [""]);
        assert_eq!(cut(&[b"a\xffb\n"]).0, ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_is_out_at_its_newline() {
        let mut cutter = Cutter::new();
        let mut lines = Vec::new();
        cutter.feed(b"challenge", &mut lines);
        assert!(lines.is_empty());
        cutter.feed(b"\nrest", &mut lines);
        assert_eq!(lines, ["challenge"]);
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_forgotten() {
        let just = vec![b'x'; MAX_LINE];
        let (lines, dropped) = cut(&[&just, b"\nnext\n", &just, b"yyy", &just, b"z\nlast"]);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].len(), MAX_LINE);
        assert_eq!(lines[1], "next");
        assert_eq!(lines[2], format!("{}...", "x".repeat(MAX_LINE)));
        assert_eq!(lines[3], "last");
        assert_eq!(dropped, 0);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        let mut text = "x".repeat(MAX_LINE - 1);
        text.push_str("\u{20ac}uro\n");
        let (lines, _) = cut(&[text.as_bytes()]);
        assert_eq!(lines, [format!("{}...", "x".repeat(MAX_LINE - 1))]);
        assert_eq!(up_to_character("a\u{20ac}".as_bytes()).len(), 4);
        assert_eq!(up_to_character(b"\x80\x80\x80\x80").len(), 4);
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut cutter = Cutter::new();
        let mut lines = Vec::new();
        for _ in 0..1_500 {
            cutter.feed(b"li", &mut lines);
            cutter.feed(b"ne\n", &mut lines);
        }
        cutter.feed(b"be", &mut lines);
        cutter.feed(b"gun", &mut lines);
        assert_eq!(lines.len(), 1_000);
        assert_eq!(cutter.take_dropped(), 501);
        cutter.feed(b" and ended\nmore\n", &mut lines);
        cutter.finish(&mut lines);
        assert_eq!(lines.len(), 1_000);
        assert_eq!(cutter.take_dropped(), 1);
        assert_eq!(cutter.partial.capacity(), 0);
    }

    #[test]
    fn a_flood_of_long_lines_ends_earlier() {
        let mut line = vec![b'x'; 60_000];
        line.push(b'\n');
        let (lines, dropped) = cut(&vec![line.as_slice(); 100]);
        let passed: usize = lines.iter().map(String::len).sum();
        assert!(passed <= MAX_BYTES, "{passed}");
        assert_eq!(lines.len() as u64 + dropped, 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(house::cases(64)))]

        #[test]
        fn lines_do_not_depend_on_where_the_reads_fall(
            lines in proptest::collection::vec("[ax\u{20ac}]{0,3}", 0..1_100),
            cuts in proptest::collection::vec(0usize..5_000, 0..50),
        ) {
            let text = lines.iter().fold(String::new(), |all, line| all + line + "\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[at..cut]);
                at = cut;
            }
            let (found, dropped) = cut(&pieces);
            let passed = lines.len().min(MAX_LINES as usize);
            prop_assert_eq!(&found[..], &lines[..passed]);
            prop_assert_eq!(dropped, (lines.len() - passed) as u64);
        }

        #[test]
        fn no_bytes_make_it_panic(
            pieces in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..100), 0..20),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            cut(&pieces);
        }
    }
}
