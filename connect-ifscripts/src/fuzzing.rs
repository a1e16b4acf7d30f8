// SPDX-License-Identifier: GPL-3.0-or-later
//! Decoders that are private otherwise, for the fuzz targets.

use std::path::Path;

use connect_ipc::RunId;
use connect_ipc::lookup::Found;
use connect_runtime::scripts_journal::Header;

use crate::ledger::Ledger;
use crate::{earlier, journal, lines, lookups, marks, pipes};

/// What segments of a journal say, in their order, and whether one of them is damaged.
#[must_use]
pub fn journal(segments: &[&[u8]], current: &Header) -> (Option<Ledger>, bool) {
    journal::of_bytes(segments, current)
}

/// A segment with the whole ledger, as at the beginning of a journal.
#[must_use]
pub fn segment(header: &Header, ledger: &Ledger) -> Vec<u8> {
    journal::whole(header, ledger)
}

/// The lines of one stream of a script that arrives in these pieces, and how many were dropped.
#[must_use]
pub fn output(pieces: &[&[u8]]) -> (Vec<String>, u64) {
    lines::cut(pieces)
}

/// What the child of a lookup has written.
#[must_use]
pub fn found_in(text: &[u8]) -> Option<Found> {
    lookups::found_in(text).ok()
}

/// The run that an environment as in `/proc/PID/environ` names.
#[must_use]
pub fn run_in(environment: &[u8]) -> Option<RunId> {
    marks::run_in(environment)
}

/// Whether a command line as in `/proc/PID/cmdline` names this directory.
#[must_use]
pub fn names(command_line: &[u8], directory: &Path) -> bool {
    earlier::names(command_line, directory)
}

/// The pipe that a link in `/proc/PID/fd` leads to.
#[must_use]
pub fn pipe_inode(link: &str) -> Option<u64> {
    pipes::pipe_inode(link)
}

/// Whether a file in `/proc/PID/fdinfo` is of a descriptor that can be read and written.
#[must_use]
pub fn is_open_both_ways(info: &str) -> bool {
    pipes::is_open_both_ways(info)
}
