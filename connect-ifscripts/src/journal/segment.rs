// SPDX-License-Identifier: GPL-3.0-or-later
//! One file of the journal: a header, then one entry per line.

use std::io::{self, Write as _};

use connect_runtime::scripts_journal::Header;
use serde::Serialize;

use super::directory::{Directory, Opened, segment_name};
use super::locked::{Locked, Trouble};

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    file: Opened,
    /// How many bytes were written.
    pub(super) size: u64,
}

impl Segment {
    /// Creates a segment.
    pub(super) fn create(locked: &Locked, header: &Header) -> Result<Self, Trouble> {
        let (number, file) = locked.create_segment()?;
        let mut segment = Segment {
            number,
            file,
            size: 0,
        };
        let mut line = Vec::new();
        put(&mut line, header);
        segment.write(&line)?;
        Ok(segment)
    }

    /// Writes complete lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.file.write_all(lines)?;
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Whether somebody has removed the file.
    pub(super) fn is_removed(&self, directory: &Directory) -> bool {
        !directory.has(&self.name(), &self.file)
    }

    pub(super) fn name(&self) -> String {
        segment_name(self.number)
    }
}

/// Appends a line.
pub(super) fn put<T: Serialize>(lines: &mut Vec<u8>, value: &T) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, value) {
        Ok(()) => lines.push(b'\n'),
        // This cannot happen: all keys in our types are strings.
        Err(error) => {
            tracing::error!(%error, "cannot write an entry of the journal");
            lines.truncate(before);
        }
    }
}
