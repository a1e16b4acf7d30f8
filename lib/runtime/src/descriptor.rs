// SPDX-License-Identifier: GPL-3.0-or-later
//! File descriptors: having the runtime watch one for one kind of event only, and closing those
//! that were inherited.

use std::borrow::Borrow;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a non-blocking descriptor.
///
/// # Errors
/// If the runtime cannot watch it.
#[expect(
    deprecated,
    reason = "the successor is `unsafe', asking that the descriptor stay open and the same, which \
              an OwnedFd is by its very type, shared or not"
)]
pub fn watch<F: AsRawFd + Borrow<OwnedFd>>(fd: F, interest: Interest) -> io::Result<AsyncFd<F>> {
    AsyncFd::with_interest(fd, interest)
}

/// The first descriptor that is not a standard stream.
const FIRST: RawFd = 3;

/// How far descriptors are looked for where there is no `/proc`: the usual limit of a process.
const LAST_WITHOUT_PROC: RawFd = 1024;

/// Closes everything that the caller has left open for us, except the standard streams. To be
/// called first in a program: what is open later is our own.
pub fn close_inherited() {
    let listed = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        let numbers = names.filter_map(|name| name.to_str()?.parse().ok());
        numbers.collect::<Vec<RawFd>>()
    });
    let all = listed.unwrap_or_else(|_| (FIRST..LAST_WITHOUT_PROC).collect());
    for number in all.into_iter().filter(|number| *number >= FIRST) {
        // The directory itself was in the list, and is closed by now.
        let _ = nix::unistd::close(number);
    }
}
