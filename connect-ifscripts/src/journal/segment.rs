// SPDX-License-Identifier: GPL-3.0-or-later
//! One file of the journal: a header, then an entry a line.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use crate::ledger::{Entry, Ledger};

/// The form of the entries. It is raised when a reader of the old form would misunderstand the new.
const SCHEMA: u32 = 1;

/// Where the system tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The first line of a segment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Header {
    pub(super) schema: u32,
    pub(super) boot: String,
}

impl Header {
    /// That of this boot.
    pub(super) fn current() -> anyhow::Result<Self> {
        let boot = fs::read_to_string(BOOT_ID).with_context(|| format!("cannot read {BOOT_ID}"))?;
        Ok(Header {
            schema: SCHEMA,
            boot: boot.trim().to_owned(),
        })
    }
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    file: File,
    /// How many bytes were written.
    pub(super) size: u64,
}

impl Segment {
    /// Makes a segment.
    pub(super) fn create(directory: &Directory, number: u64, header: &Header) -> io::Result<Self> {
        let mut segment = Segment {
            number,
            file: directory.create_segment(number)?,
            size: 0,
        };
        let mut line = Vec::new();
        put(&mut line, header);
        segment.write(&line)?;
        Ok(segment)
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Whether somebody has removed the file.
    pub(super) fn is_removed(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink == 0)
    }
}

/// Appends a line.
pub(super) fn put<T: Serialize>(lines: &mut Vec<u8>, value: &T) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, value) {
        Ok(()) => lines.push(b'\n'),
        // This cannot be: none of our types has keys that are not strings.
        Err(error) => {
            tracing::error!(%error, "cannot write an entry of the journal");
            lines.truncate(before);
        }
    }
}

/// Reads a segment into a ledger. Whether it counts: one of another boot or another schema, or
/// without a whole header, does not.
///
/// # Errors
/// If it cannot be read, or has a line that is no entry. A last line without a newline was being
/// written when its writer died, and so was not acted upon.
pub(super) fn read(
    directory: &Directory,
    number: u64,
    current: &Header,
    ledger: &mut Ledger,
) -> anyhow::Result<bool> {
    let mut reader = BufReader::new(directory.open_segment(number)?);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> io::Result<bool> {
        line.clear();
        reader.read_until(b'\n', line)?;
        Ok(line.ends_with(b"\n"))
    };
    let header = next(&mut line)?.then(|| serde_json::from_slice::<Header>(&line).ok());
    if header.flatten().as_ref() != Some(current) {
        return Ok(false);
    }
    let mut at = 1;
    while next(&mut line)? {
        at += 1;
        let entry = serde_json::from_slice::<Entry>(&line);
        let entry = entry.with_context(|| format!("line {at} of segment {number}"))?;
        ledger.apply(&entry);
    }
    Ok(true)
}
