// SPDX-License-Identifier: GPL-3.0-or-later
//! The private copy of a database file, and its reading through the `cdb` crate.
//!
//! The crate maps the file it reads. If that were the file itself, whoever truncated it in place
//! would kill this process with SIGBUS, and whoever wrote to it could change a length between its
//! check and its use. So the file is copied whole, the copy is checked, and only a copy that
//! nobody else can write to is given to the crate.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use cdb::CDB;
use memmap2::MmapMut;
use rustix::fs::{MemfdFlags, SealFlags};
use tempfile::NamedTempFile;

use crate::identity::FileIdentity;
use crate::load::LoadError;
use crate::plain_file;
use crate::structure::MAX_FILE_SIZE;

/// How often a file that changes while it is copied is copied again. A writer that renames (as all
/// known ones do) disturbs at most one attempt. So a file that changes five times in a row is being
/// written in place, and the caller tries again at its next check.
const ATTEMPTS: u32 = 5;

/// A file's bytes and the identity that the file had before and after they were read.
pub(crate) struct Copied {
    pub(crate) bytes: MmapMut,
    pub(crate) identity: FileIdentity,
}

/// Copies the file at `path` as it was at one moment, as far as we can know that.
pub(crate) fn copy(path: &Path) -> Result<Copied, LoadError> {
    copy_observed(path, |_| {})
}

/// [`copy`], with `meanwhile` called between reading the file and checking it again; tests change
/// the file there. It gets the number of the attempt, from 1.
fn copy_observed(path: &Path, mut meanwhile: impl FnMut(u32)) -> Result<Copied, LoadError> {
    let failed = |source| LoadError::from_open(path, source);
    for attempt in 1..=ATTEMPTS {
        let mut file = open(path)?;
        let before = FileIdentity::from(&file.metadata().map_err(failed)?);
        if before.size > MAX_FILE_SIZE {
            return Err(LoadError::TooLarge {
                path: path.to_owned(),
            });
        }
        let bytes = match plain_file::read(&mut file, before.size) {
            Ok(bytes) => Some(bytes),
            // It has become shorter.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(failed(error)),
        };
        meanwhile(attempt);
        // If it has grown, this shows that.
        let after = FileIdentity::from(&file.metadata().map_err(failed)?);
        if let Some(bytes) = bytes.filter(|_| before == after) {
            return Ok(Copied {
                bytes,
                identity: before,
            });
        }
    }
    Err(LoadError::Unstable {
        path: path.to_owned(),
        attempts: ATTEMPTS,
    })
}

/// Opens a plain file for reading and refuses everything else without waiting for it.
fn open(path: &Path) -> Result<File, LoadError> {
    let opened = plain_file::open(path).map_err(|error| LoadError::from_open(path, error))?;
    opened.ok_or_else(|| LoadError::NotAFile {
        path: path.to_owned(),
    })
}

/// Opens a private copy of `bytes`, which must have passed [`crate::structure::verify`] and hold a
/// record, with the crate.
///
/// # Errors
///
/// Neither memory nor a temporary file is available.
pub(crate) fn open_copy(bytes: &[u8]) -> io::Result<CDB> {
    // The crate opens by name. A process that is not dumpable, or without /proc, cannot open its
    // own memory file in this way, and uses a temporary file that only its owner can open.
    in_memory(bytes).or_else(|_| in_temporary_file(bytes))
}

fn in_memory(bytes: &[u8]) -> io::Result<CDB> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know NOEXEC_SEAL; later ones may be told to insist on it.
    let descriptor = rustix::fs::memfd_create(c"peers.cdb", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(c"peers.cdb", flags))?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    CDB::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn in_temporary_file(bytes: &[u8]) -> io::Result<CDB> {
    let mut file = NamedTempFile::with_prefix("peers.cdb.")?;
    file.write_all(bytes)?;
    // The mapping stays after the name is removed, which happens when `file` is dropped.
    CDB::open(file.path())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Writer;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn database(dir: &TempDir, name: &str, auto: &str) -> PathBuf {
        let path = dir.path().join(name);
        let mut writer = Writer::new();
        writer.put_auto([auto]);
        writer.write(&path).unwrap();
        path
    }

    fn keys(cdb: &CDB) -> Vec<(Vec<u8>, Vec<u8>)> {
        cdb.iter().map(Result::unwrap).collect()
    }

    #[test]
    fn both_kinds_of_copy_hold_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = fs::read(database(&dir, "peers.cdb", "hub")).unwrap();
        let expected = [(b"%AUTO".to_vec(), b"hub".to_vec())];
        assert_eq!(keys(&in_memory(&bytes).unwrap()), expected);
        assert_eq!(keys(&in_temporary_file(&bytes).unwrap()), expected);
    }

    #[test]
    fn a_file_renamed_over_while_it_is_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir, "peers.cdb", "old");
        let newer = database(&dir, "newer", "new");
        let expected = fs::read(&newer).unwrap();
        let mut attempts = 0;
        let copied = copy_observed(&path, |attempt| {
            attempts = attempt;
            if attempt == 1 {
                fs::rename(&newer, &path).unwrap();
            }
        })
        .unwrap();
        assert_eq!(attempts, 2);
        assert_eq!(*copied.bytes, expected);
        assert_eq!(copied.identity, FileIdentity::of(&path).unwrap());
    }

    #[test]
    fn a_file_that_never_holds_still_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir, "peers.cdb", "hub");
        let error = copy_observed(&path, |attempt| {
            // A different size each time, so that the clock's resolution does not matter.
            fs::write(&path, vec![0; attempt as usize]).unwrap();
        })
        .map(|copied| copied.bytes)
        .unwrap_err();
        assert!(matches!(
            error,
            LoadError::Unstable {
                attempts: ATTEMPTS,
                ..
            }
        ));
        assert!(error.to_string().contains("5 times in a row"));
    }

    #[test]
    fn a_file_truncated_while_it_is_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir, "peers.cdb", "hub");
        let copied = copy_observed(&path, |attempt| {
            if attempt == 1 {
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(100)
                    .unwrap();
            }
        })
        .unwrap();
        assert_eq!(copied.bytes.len(), 100);
    }

    #[test]
    fn whatever_is_not_a_plain_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero")] {
            assert!(
                matches!(copy(path), Err(LoadError::NotAFile { .. })),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn an_oversize_file_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        // Sparse, so that it costs nothing.
        File::create(&path)
            .unwrap()
            .set_len(MAX_FILE_SIZE + 1)
            .unwrap();
        let error = copy(&path).map(|copied| copied.bytes).unwrap_err();
        assert!(matches!(error, LoadError::TooLarge { .. }));
        assert!(error.to_string().contains("256 MiB"));
    }
}
