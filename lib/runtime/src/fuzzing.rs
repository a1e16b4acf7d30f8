// SPDX-License-Identifier: GPL-3.0-or-later
//! Decoders that are private otherwise, for the fuzz targets.

use crate::lock_holder::Holder;
use crate::start_time::Stat;
use crate::{access_list, lock_holder, log_text, start_time};

/// What a line of `/proc/PID/stat` says.
#[must_use]
pub fn stat(line: &[u8]) -> Option<Stat> {
    start_time::parse(line)
}

/// What the bytes of the lock file of a journal say.
#[must_use]
pub fn holder(file: &[u8]) -> Option<Holder> {
    lock_holder::parse(file)
}

/// The parent that a command line of `/proc/PID/cmdline` names.
#[must_use]
pub fn parent_in(command_line: &[u8]) -> Option<i32> {
    lock_holder::parent_in(command_line)
}

/// How many may write by an access control list as the system gives it; `None` if it is malformed.
#[must_use]
pub fn writers(list: &[u8]) -> Option<usize> {
    access_list::decode(list).map(|writers| writers.len())
}

/// A text as it is in an entry of the log, and its greatest length without the note of what was
/// left out.
#[must_use]
pub fn log_entry(text: &str) -> (String, usize) {
    (log_text::entry(text), log_text::MAX_ENTRY)
}
