// SPDX-License-Identifier: GPL-3.0-or-later
//! Opening plain files, and nothing else: who opens a FIFO waits for its writer, and a device may
//! have no end. Reading them whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use memmap2::MmapMut;
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

/// The first `size` bytes of a file: not more, should it grow meanwhile.
///
/// Their memory is not from the allocator: when glibc gets a piece of up to 32 MiB back, it keeps
/// up to twice as much free memory from then on.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if there are fewer; else what the system says.
pub fn read(file: &mut File, size: u64) -> io::Result<MmapMut> {
    // What does not fit into memory is refused by the system.
    let mut bytes = MmapMut::map_anon(usize::try_from(size).unwrap_or(usize::MAX))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_bytes_are_read_as_asked_for_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "words").unwrap();
        let first = |size| {
            let mut file = open(&path).unwrap().unwrap();
            read(&mut file, size).map(|bytes| bytes.to_vec())
        };
        for (size, expected) in [(0, ""), (4, "word"), (5, "words")] {
            assert_eq!(first(size).unwrap(), expected.as_bytes());
        }
        // A file that has become shorter since its size was asked for.
        assert_eq!(first(6).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
