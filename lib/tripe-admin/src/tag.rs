// SPDX-License-Identifier: GPL-3.0-or-later
//! The tags of background jobs, and how they are written in commands and read in answers.

use std::fmt;

/// Names a background job of this connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tag {
    /// Its place in the table of jobs.
    pub(crate) slot: u32,
    /// Which use of the slot this is, so that a late line for an earlier job is not taken for one
    /// of the present job.
    pub(crate) generation: u32,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push(&mut text);
        f.write_str(&text)
    }
}

impl Tag {
    /// Appends it to a command. There is one for each ping, and the general way to write a number
    /// costs several times as much.
    pub(crate) fn push(self, line: &mut String) {
        let mut digits = itoa::Buffer::new();
        line.push('c');
        line.push_str(digits.format(self.slot));
        line.push('.');
        line.push_str(digits.format(self.generation));
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix('c')?;
        // The dot is one of the first bytes, so a search byte by byte is fastest. Each ping has
        // three lines with a tag.
        let dot = numbers.bytes().position(|byte| byte == b'.')?;
        let (slot, generation) = (numbers.get(..dot)?, numbers.get(dot + 1..)?);
        Some(Tag {
            slot: slot.parse().ok()?,
            generation: generation.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_is_written_and_nothing_else_is_one() {
        for tag in [(0, 0), (7, 1), (4_294_967_295, 4_294_967_295)] {
            let (slot, generation) = tag;
            let tag = Tag { slot, generation };
            assert_eq!(Tag::parse(&tag.to_string()), Some(tag));
        }
        for text in [
            "",
            "c",
            "c.",
            "c1",
            "c1.",
            "c.1",
            "1.1",
            "c1.2.3",
            "c1.x",
            "c-1.1",
            "c 1.1",
            "c4294967296.0",
            "C1.1",
        ] {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
    }
}
