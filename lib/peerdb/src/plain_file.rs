// SPDX-License-Identifier: GPL-3.0-or-later
//! Opening plain files, and nothing else: who opens a FIFO waits for its writer, and a device may
//! have no end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a plain file for reading, without waiting; `None` if it is something else.
///
/// # Errors
/// If there is nothing, or the system refuses.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    // Looked at before it is opened, since some devices act when they are opened; and once more
    // afterwards, since the name may have changed hands in between: opening a FIFO without blocking
    // does no harm.
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}
