// SPDX-License-Identifier: GPL-3.0-or-later
//! Having the runtime watch a descriptor, for one kind of event only.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a non-blocking descriptor.
///
/// # Errors
/// If the runtime cannot watch it.
#[expect(
    deprecated,
    reason = "the successor is `unsafe', asking that the descriptor stay open and the same, which \
              an OwnedFd is by its very type"
)]
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
