// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of the journal: nobody else may be able to put a file there, since commands from
//! the journal are run.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What the names of segments begin with; a number follows.
const SEGMENT: &str = "journal-";

/// The directory. Files in it are found through the descriptor, so all are in the same one.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    identity: (u64, u64),
}

impl Directory {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// Why it cannot be used, with the remedy.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    let path = path.display();
                    format!("cannot make the directory {path}: make it, or name another one")
                });
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = openat(CWD, path, flags, Mode::empty()).with_context(|| {
            let path = path.display();
            format!("cannot open {path}: it must be a directory, and no symbolic link")
        })?;
        let stat = fstat(&descriptor).with_context(|| format!("cannot use {}", path.display()))?;
        let owner = stat.st_uid;
        ensure!(
            owner == 0 || owner == geteuid().as_raw(),
            "{} belongs to user {owner}, who could have anything run: give it to the user of \
             connect-ifscripts (chown)",
            path.display()
        );
        ensure!(
            !Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH),
            "others may write to {} and could have anything run: forbid it (chmod go-w)",
            path.display()
        );
        Ok(Directory {
            descriptor,
            path: path.to_owned(),
            identity: (stat.st_dev, stat.st_ino),
        })
    }

    /// Its device and inode: what tells it from every other directory.
    pub(crate) const fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a segment, which must not exist.
    pub(super) fn create_segment(&self, number: u64) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND;
        self.plain(&segment_name(number), flags)
    }

    /// Opens a segment to be read.
    pub(super) fn open_segment(&self, number: u64) -> io::Result<File> {
        self.plain(&segment_name(number), OFlags::RDONLY)
    }

    /// Opens a file that is there to be locked, or makes it.
    pub(crate) fn lock_file(&self, name: &str) -> io::Result<File> {
        self.plain(name, OFlags::CREATE | OFlags::RDWR)
    }

    /// The numbers of the segments, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            let number: Option<u64> =
                name.and_then(|name| name.strip_prefix(SEGMENT)?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes the segments before this one.
    pub(super) fn remove_before(&self, number: u64) -> io::Result<()> {
        for older in self.segments()?.into_iter().filter(|n| *n < number) {
            unlinkat(&self.descriptor, segment_name(older), AtFlags::empty())?;
        }
        Ok(())
    }

    /// Opens a plain file of ours. A symbolic link is refused, and nothing else is waited for.
    fn plain(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let descriptor = openat(&self.descriptor, name, flags, mode)?;
        if is_ours(&fstat(&descriptor)?) {
            return Ok(descriptor.into());
        }
        let text =
            format!("{name} is not a plain file of the user of connect-ifscripts: remove it");
        Err(io::Error::other(text))
    }
}

fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == geteuid().as_raw()
}

fn segment_name(number: u64) -> String {
    format!("{SEGMENT}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_directory_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scripts");
        Directory::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        Directory::open(&path).unwrap();
    }

    #[test]
    fn what_others_could_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| format!("{:#}", Directory::open(path).unwrap_err());
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o770)).unwrap();
        assert!(text(&open).contains("chmod go-w"), "{}", text(&open));
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        assert!(text(&link).contains("symbolic link"), "{}", text(&link));
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(text(&file).contains("must be a directory"));
        let nowhere = dir.path().join("no").join("where");
        assert!(text(&nowhere).contains("cannot make"), "{}", text(&nowhere));
    }

    #[test]
    fn only_plain_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        fs::write(dir.path().join("elsewhere"), "").unwrap();
        symlink(dir.path().join("elsewhere"), dir.path().join("journal-1")).unwrap();
        assert!(directory.open_segment(1).is_err());
        assert!(directory.create_segment(1).is_err());
        fs::create_dir(dir.path().join("journal-2")).unwrap();
        assert!(directory.open_segment(2).is_err());
        fs::write(dir.path().join("journal-x"), "").unwrap();
        assert_eq!(directory.segments().unwrap(), [1, 2]);
        let file = directory.create_segment(3).unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}
