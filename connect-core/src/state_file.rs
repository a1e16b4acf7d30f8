// SPDX-License-Identifier: GPL-3.0-or-later
//! Files in the state directory: reading, and replacing as a whole.
//!
//! They are not synced: after a crash of the host they are not valid anyway.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use connect_runtime::ownership::{Distrust, Ownership, Strictness};
use peerdb::plain_file;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The largest file that is read. That of 50,000 peers with scripts has about 40 MiB.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

/// How much is written at once, if `replace` gets smaller pieces.
const PIECE: usize = 64 * 1024;

/// The bytes of the file, if it can be one that core has written.
pub(crate) fn read(path: &Path) -> anyhow::Result<impl Deref<Target = [u8]>> {
    let file = plain_file::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut file = file.with_context(|| {
        format!(
            "{} is not a plain file: move it away; core then writes a new one",
            path.display()
        )
    })?;
    let failed = || format!("cannot read {}", path.display());
    let size = file.metadata().with_context(failed)?.len();
    anyhow::ensure!(
        size <= MAX_SIZE,
        "{} is larger than {} MiB, so it is no state file of the service: move it away",
        path.display(),
        MAX_SIZE >> 20
    );
    plain_file::read(&mut file, size).with_context(failed)
}

/// The part that is read first.
#[derive(Deserialize)]
struct Header {
    schema: u32,
}

/// Reads a document that has this `schema`; `None` if there is no file of this name.
///
/// # Errors
/// If there is something that cannot be read, is not a plain file, is too large or malformed, or
/// has another form.
pub(crate) fn load<T: DeserializeOwned>(path: &Path, known: u32) -> anyhow::Result<Option<T>> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    decode(&read(path)?, path, known).map(Some)
}

/// The document of this `schema` in the bytes of a file.
///
/// # Errors
/// If it is malformed or has another form.
pub(crate) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
    known: u32,
) -> anyhow::Result<T> {
    let malformed = || format!("{} is malformed", path.display());
    let Header { schema } = serde_json::from_slice(bytes).with_context(malformed)?;
    anyhow::ensure!(
        schema == known,
        "{} has form {schema}, but this program reads form {known}",
        path.display()
    );
    serde_json::from_slice(bytes).with_context(malformed)
}

/// Replaces the file of this name, or makes it, and the directory too. `write` may write its text
/// piece by piece: the whole text of the state of 100,000 peers takes 13 MB.
///
/// # Errors
/// If the system refuses; the file is as it was then.
pub(crate) fn replace(
    directory: &Path,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    make(directory)?;
    let mut file = temporary(directory)?;
    let mut writer = BufWriter::with_capacity(PIECE, &mut file);
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.persist(directory.join(name))
        .map_err(|error| error.error)?;
    Ok(())
}

/// Tries whether a file of this name could be written: a directory that is missing or read-only, or
/// a full disk, is to be told at the start.
///
/// # Errors
/// If not.
pub(crate) fn try_to_write(directory: &Path, name: &str) -> io::Result<()> {
    make(directory)?;
    if directory.join(name).is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // A full disk has room for an empty file.
    temporary(directory)?.write_all(&[0; 4096])
}

/// The names of temporary files begin with this, and go on with the number of the process that
/// writes the file.
const PREFIX: &str = ".writing-";

fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempfile_in(directory)
}

/// Removes what cores have left that were killed while they wrote a file. One that still runs may
/// be writing its last state. What cannot be removed stays: nothing reads it.
pub(crate) fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok())
            .and_then(Pid::from_raw);
        if writer.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the directory, for its user alone.
///
/// # Errors
/// If the system refuses, or others could put files of theirs in it.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    check(directory).map_err(io::Error::other)
}

/// Checks that nobody else can put a file in the directory: commands from such a file are run. One
/// that does not exist yet is safe if those above it are.
///
/// # Errors
/// Why it is not safe, and the remedy.
pub(crate) fn check(directory: &Path) -> anyhow::Result<()> {
    match Ownership::ourselves().check(directory, Strictness::Directory) {
        Ok(()) | Err(Distrust::Missing { .. }) => Ok(()),
        Err(distrust) => {
            let what = format!("the state directory {}", directory.display());
            let danger = "make the service run anything";
            anyhow::bail!(distrust.refusal(&what, danger, "--keep-state"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_killed_core_has_left_is_removed_and_what_others_write_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let left = format!("{PREFIX}{}-abc", ended.id());
        let others = [
            "core.json",
            ".writing-",
            ".writing-x-y",
            &format!("{PREFIX}1-abc"),
        ];
        for name in others.iter().copied().chain([&*left]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let mine = temporary(directory.path()).unwrap();
        remove_leftovers(directory.path());
        assert!(!directory.path().join(left).exists());
        assert!(
            others
                .iter()
                .all(|name| directory.path().join(name).exists())
        );
        assert!(mine.path().exists());
    }

    #[test]
    fn a_write_that_fails_in_the_middle_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        replace(directory.path(), "name", |file| file.write_all(b"old")).unwrap();
        let failed = replace(directory.path(), "name", |file| {
            file.write_all(&[b'x'; 2 * PIECE])?;
            file.write_all(b"y")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(&read(&directory.path().join("name")).unwrap()[..], b"old");
    }

    #[test]
    fn where_others_may_write_nothing_is_read_or_written() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("state");
        check(&directory).unwrap();
        make(&directory).unwrap();
        check(&directory).unwrap();
        for path in [above.path(), &directory] {
            let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            set(0o777);
            let error = check(&directory).unwrap_err().to_string();
            assert!(error.contains("is not safe"), "{error}");
            let failed = [
                make(&directory),
                replace(&directory, "name", |_| Ok(())),
                try_to_write(&directory, "name"),
            ];
            for error in failed.map(Result::unwrap_err) {
                assert!(error.to_string().contains("is not safe"), "{error}");
            }
            set(0o700);
        }
        replace(&directory, "name", |_| Ok(())).unwrap();
    }
}
