// SPDX-License-Identifier: GPL-3.0-or-later
//! The directory of the journal. Others must not be able to put a file there, since commands from
//! the journal are run.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use connect_runtime::exhaustion::is_exhaustion;
use connect_runtime::ownership::{Ownership, Strictness};
use connect_runtime::scripts_journal::SEGMENT;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chmod, fstat, mkdirat, openat, statat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// How the names of damaged segments begin. They are kept so that people can examine them.
const DAMAGED: &str = "damaged-";

/// The mode of the parent directory, which has core's sockets if `connect` has started us.
const RUNTIME_MODE: u32 = 0o755;

/// The last valid number. No helper gets so far; if somebody has made such a file, the journal
/// begins again with the first number.
pub(super) const LAST: u64 = u64::MAX / 2;

/// Device and inode. As long as a file is open, no other file has the same.
type Identity = (u64, u64);

/// An open file. Its identity is read only once, since before each start of a script we check
/// whether the name still leads to this file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    identity: Identity,
}

/// The directory. Files in it are found through the descriptor, so all are in the same one.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    identity: Identity,
}

impl Directory {
    /// Opens a directory, or creates it.
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
            format!("cannot open {path}: it must be a directory, not a symbolic link")
        })?;
        let stat = fstat(&descriptor).with_context(|| format!("cannot use {}", path.display()))?;
        Ownership::ourselves()
            .check(path, Strictness::Directory)
            .map_err(|distrust| {
                let what = format!("the journal of scripts in {}", path.display());
                let danger = "make the service run anything";
                anyhow::Error::msg(distrust.refusal(&what, danger, "--journal-dir"))
            })?;
        Ok(Directory {
            descriptor,
            path: path.to_owned(),
            identity: identity(&stat),
        })
    }

    /// Like [`Directory::open`], after the directory was removed: also creates the parent
    /// directory, as core does.
    ///
    /// # Errors
    /// Why it cannot be used, with the remedy.
    pub(super) fn open_again(path: &Path) -> anyhow::Result<Self> {
        if let Some(above) = path.parent()
            && mkdirat(CWD, above, Mode::RWXU).is_ok()
        {
            // The umask may have removed bits of the mode that was given above.
            let mode = Mode::from_raw_mode(RUNTIME_MODE);
            chmod(above, mode).with_context(|| format!("cannot open {}", above.display()))?;
        }
        Self::open(path)
    }

    /// Its device and inode, which no other directory has.
    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a segment to be read.
    pub(super) fn open_segment(&self, number: u64) -> io::Result<File> {
        let opened = self.plain(&segment_name(number), OFlags::RDONLY)?;
        Ok(opened.file)
    }

    /// Opens a file that is used as a lock, or creates it.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<Opened> {
        self.plain(name, OFlags::CREATE | OFlags::RDWR)
    }

    /// Whether its path still leads to this directory.
    pub(super) fn is_in_place(&self) -> bool {
        leads_to(
            statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW),
            self.identity,
        )
    }

    /// Whether this file is the one of this name.
    pub(super) fn has(&self, name: &str, file: &Opened) -> bool {
        let there = statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
        leads_to(there, file.identity)
    }

    /// The numbers of the segments, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.numbered(SEGMENT)?.numbers)
    }

    /// The numbers of the damaged segments that were kept, in order.
    pub(super) fn damaged(&self) -> io::Result<Vec<u64>> {
        Ok(self.numbered(DAMAGED)?.numbers)
    }

    /// Entries that have the name of a segment and are none. They are not touched.
    pub(super) fn strangers(&self) -> io::Result<Vec<String>> {
        Ok(self.numbered(SEGMENT)?.strangers)
    }

    fn numbered(&self, prefix: &str) -> io::Result<Numbered> {
        let mut found = Numbered::default();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !name.as_bytes().starts_with(prefix.as_bytes()) {
                continue;
            }
            match number(name, prefix).filter(|_| self.is_ours(name)) {
                Some(number) => found.numbers.push(number),
                None => found.strangers.push(name.to_string_lossy().into_owned()),
            }
        }
        found.numbers.sort_unstable();
        found.strangers.sort_unstable();
        Ok(found)
    }

    fn is_ours(&self, name: &OsStr) -> bool {
        let stat = statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| is_ours(&stat))
    }

    /// The directory itself, for the code that changes the files in it. Only the holder of the lock
    /// does that.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Opens a regular file of ours. A symbolic link is refused, and a file of another kind does
    /// not make us wait.
    pub(super) fn plain(&self, name: &str, flags: OFlags) -> io::Result<Opened> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let descriptor = openat(&self.descriptor, name, flags, mode)?;
        let stat = fstat(&descriptor)?;
        if is_ours(&stat) {
            return Ok(Opened {
                file: descriptor.into(),
                identity: identity(&stat),
            });
        }
        let text =
            format!("{name} is not a plain file of the user of connect-ifscripts: remove it");
        Err(io::Error::other(text))
    }
}

const fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// Whether a name leads to this file. If the system has no memory to look, it is not known to lead
/// elsewhere.
fn leads_to(there: rustix::io::Result<Stat>, file: Identity) -> bool {
    match there {
        Ok(there) => identity(&there) == file,
        Err(error) => is_exhaustion(&error.into()),
    }
}

fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == geteuid().as_raw()
}

/// The files of one kind, by their names.
#[derive(Debug, Default)]
struct Numbered {
    numbers: Vec<u64>,
    /// Entries that have such a name and are not such a file.
    strangers: Vec<String>,
}

/// The number in a name, if it is written as we write it.
fn number(name: &OsStr, prefix: &str) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix(prefix)?;
    let number: u64 = digits.parse().ok()?;
    (number <= LAST && number.to_string() == digits).then_some(number)
}

pub(super) fn segment_name(number: u64) -> String {
    format!("{SEGMENT}{number}")
}

pub(super) fn damaged_name(number: u64) -> String {
    format!("{DAMAGED}{number}")
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
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(text(&open).contains("chmod go-w"), "{}", text(&open));
        // Whoever may rename it can take it away.
        let below = open.join("below");
        assert!(text(&below).contains("chmod go-w"), "{}", text(&below));
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
        fs::create_dir(dir.path().join("journal-2")).unwrap();
        assert!(directory.open_segment(2).is_err());
        assert!(directory.segments().unwrap().is_empty());
        let file = directory.lock_file("lock").unwrap();
        let mode = file.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn only_plain_files_with_a_number_as_we_write_it_count_as_segments() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let files = [
            "journal-7",
            "journal-10",
            "journal-9223372036854775807",
            "journal-007",
            "journal-+5",
            "journal-",
            "journal-x",
            "journal-9223372036854775808",
            "journal-18446744073709551615",
            "journal-99999999999999999999999",
            "other-3",
        ];
        for name in files {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("journal-99")).unwrap();
        symlink("journal-7", dir.path().join("journal-8")).unwrap();
        assert_eq!(directory.segments().unwrap(), [7, 10, LAST]);
        let mut strangers: Vec<&str> = files[3..10].to_vec();
        strangers.extend(["journal-99", "journal-8"]);
        strangers.sort_unstable();
        assert_eq!(directory.strangers().unwrap(), strangers);
    }

    #[test]
    fn a_directory_or_file_is_in_place_as_long_as_its_name_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scripts");
        let directory = Directory::open(&path).unwrap();
        let lock = directory.lock_file("lock").unwrap();
        assert!(directory.is_in_place() && directory.has("lock", &lock));
        fs::remove_file(path.join("lock")).unwrap();
        assert!(!directory.has("lock", &lock));
        directory.lock_file("lock").unwrap();
        assert!(!directory.has("lock", &lock));
        fs::remove_dir_all(&path).unwrap();
        assert!(!directory.is_in_place());
        fs::create_dir(&path).unwrap();
        assert!(!directory.is_in_place() && !directory.has("lock", &lock));
    }
}
