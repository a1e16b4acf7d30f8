// SPDX-License-Identifier: GPL-3.0-or-later
//! One file of the journal: a header, then one entry per line.

use std::io::{self, Write as _};

use connect_runtime::scripts_journal::Header;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};
use serde::Serialize;

use super::directory::{Directory, Opened, segment_name};
use super::locked::{JournalError, Locked};

/// Whether a segment can grow, whatever others do to its file system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    /// The file system has set the room aside, or is one that cannot.
    Kept,
    /// The file system is full.
    Short,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    file: Opened,
    /// How many bytes were written.
    pub(super) size: u64,
}

impl Segment {
    /// Creates the file of a segment.
    pub(super) fn create(locked: &Locked) -> Result<Self, JournalError> {
        let (number, file) = locked.create_segment()?;
        let size = 0;
        Ok(Segment { number, file, size })
    }

    /// Writes the header.
    pub(super) fn begin(&mut self, header: &Header) -> io::Result<()> {
        let mut line = Vec::new();
        put(&mut line, header);
        self.write(&line)
    }

    /// Has the file system set room aside, so that the file can grow to this size even when the
    /// file system is full.
    pub(super) fn reserve(&self, size: u64) -> Room {
        // The size that readers see stays. On a tmpfs a signal interrupts this.
        let flags = FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file.file, flags, 0, size)) {
            Err(Errno::NOSPC | Errno::DQUOT) => Room::Short,
            _ => Room::Kept,
        }
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
