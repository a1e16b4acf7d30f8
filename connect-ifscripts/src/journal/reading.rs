// SPDX-License-Identifier: GPL-3.0-or-later
//! Reading the journal of an earlier helper.
//!
//! If a line is no entry, the lines before it are still used, and so are the segments after it.
//! What the lost lines said is unknown: a run that waits by the lines before may have been started
//! since, and is run again. Nothing shows that lines are missing at the end of the last segment.

use std::io::{self, BufRead as _, BufReader, Read as _};

use connect_runtime::exhaustion::{is_exhaustion, unless_exhausted};
use connect_runtime::scripts_journal::{Header, MAX_LINE, SCHEMA};
use thiserror::Error;
use tracing::{info, warn};

use super::directory::Directory;
use crate::ledger::{Entry, Ledger};

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// `None` if there is no journal of this boot.
    pub(crate) ledger: Option<Ledger>,
    pub(super) damaged: Vec<Damage>,
}

/// A segment that cannot be read to its end.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) segment: u64,
    pub(super) cause: Cause,
}

/// Why.
#[derive(Debug, Error)]
pub(super) enum Cause {
    #[error("line {line} is not an entry of the journal ({error})")]
    Line { line: u64, error: String },
    #[error("line {line} has no end, or is missing")]
    Cut { line: u64 },
    #[error("its schema is {0}, but this version of connect-ifscripts reads schema {SCHEMA}")]
    Schema(u32),
    #[error("it cannot be read after line {line} ({error})")]
    Unreadable { line: u64, error: io::Error },
}

/// What is wrong with a line. A line is parsed on its own, so readers would take a position in it
/// for one in the file.
fn without_position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" at line ").unwrap_or(text.len()));
    text
}

/// Reads all segments, in order. If the directory cannot be read, nothing was, and that is logged.
///
/// # Errors
/// If something cannot be read since descriptors or memory are missing: it may be whole.
pub(crate) fn read(directory: &Directory, current: &Header) -> io::Result<Reading> {
    read_all(directory, current).or_else(|error| {
        let path = directory.path().display();
        warn!(%path, %error, "cannot read the directory of the journal of scripts");
        unless_exhausted(error).map(|()| Reading::default())
    })
}

fn read_all(directory: &Directory, current: &Header) -> io::Result<Reading> {
    combine(&directory.segments()?, |segment, ledger| {
        read_segment(directory, segment, current, ledger)
    })
}

/// What segments of these bytes say, in their order, and whether one of them is damaged.
#[cfg(fuzzing)]
pub(crate) fn of_bytes(segments: &[&[u8]], current: &Header) -> (Option<Ledger>, bool) {
    let numbers: Vec<u64> = (0..).take(segments.len()).collect();
    let mut bytes = segments.iter();
    let reading = combine(&numbers, |segment, ledger| {
        let bytes = bytes.next().copied().unwrap_or_default();
        read_lines(bytes, segment, current, ledger)
    });
    // Memory can be read.
    let reading = reading.unwrap_or_default();
    (reading.ledger, !reading.damaged.is_empty())
}

/// Reads these segments by `read`.
fn combine(
    segments: &[u64],
    mut read: impl FnMut(u64, &mut Ledger) -> Result<bool, Cause>,
) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let mut ledger = Ledger::default();
    let mut found = false;
    for segment in segments.iter().copied() {
        let is_last = segments.last() == Some(&segment);
        match read(segment, &mut ledger) {
            Ok(counts) => found |= counts,
            // The writer died in its last write, or when it had just created another segment.
            Err(Cause::Cut { line }) if is_last && (line > 1 || segments.len() > 1) => {
                found |= line > 1;
            }
            Err(Cause::Unreadable { error, .. }) if is_exhaustion(&error) => return Err(error),
            Err(cause) => {
                found |= !matches!(cause, Cause::Schema(_) | Cause::Cut { line: 1 });
                reading.damaged.push(Damage { segment, cause });
            }
        }
    }
    reading.ledger = found.then_some(ledger);
    Ok(reading)
}

/// Reads a segment into a ledger. Returns whether it is used: one of another boot is not.
fn read_segment(
    directory: &Directory,
    number: u64,
    current: &Header,
    ledger: &mut Ledger,
) -> Result<bool, Cause> {
    let file = directory.open_segment(number);
    let file = file.map_err(|error| Cause::Unreadable { line: 0, error })?;
    read_lines(BufReader::new(file), number, current, ledger)
}

/// Reads the lines of a segment, as [`read_segment`] does.
fn read_lines(
    reader: impl io::BufRead,
    number: u64,
    current: &Header,
    ledger: &mut Ledger,
) -> Result<bool, Cause> {
    let mut lines = Lines {
        reader,
        line: Vec::new(),
        number: 0,
    };
    if !lines.next()? {
        return Err(Cause::Cut { line: 1 });
    }
    let header: Header = lines.parse()?;
    if header.boot != current.boot {
        info!(
            segment = number,
            "ignoring the journal of scripts, which is of an earlier boot"
        );
        return Ok(false);
    }
    if header.schema != current.schema {
        return Err(Cause::Schema(header.schema));
    }
    while lines.next()? {
        ledger.apply(&lines.parse::<Entry>()?);
    }
    if !lines.line.is_empty() {
        return Err(Cause::Cut { line: lines.number });
    }
    Ok(true)
}

/// The lines of a segment.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// The number of the line, from 1.
    number: u64,
}

impl<R: io::BufRead> Lines<R> {
    /// Reads the next line; `false` if there is no complete one. A last line without a newline was
    /// not completely written when its writer died, so nothing was done because of it.
    fn next(&mut self) -> Result<bool, Cause> {
        self.line.clear();
        let mut reader = self.reader.by_ref().take(MAX_LINE as u64);
        let length = reader.read_until(b'\n', &mut self.line);
        let length = length.map_err(|error| Cause::Unreadable {
            line: self.number,
            error,
        })?;
        self.number += 1;
        if length == MAX_LINE {
            return Err(Cause::Line {
                line: self.number,
                error: "it is too long".to_owned(),
            });
        }
        Ok(self.line.ends_with(b"\n"))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Cause> {
        serde_json::from_slice(&self.line).map_err(|error| Cause::Line {
            line: self.number,
            error: without_position(&error),
        })
    }
}
