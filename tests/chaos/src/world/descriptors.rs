// SPDX-License-Identifier: GPL-3.0-or-later
//! The file descriptors of a process: how many it has open, and how many it may have.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::leftovers::children;

/// The room that the script helper sets aside in a segment of its journal when the segment is
/// complete is far more than this, in bytes.
const SET_ASIDE: u64 = 64 * 1024;

/// The size of a block in the count of blocks of a file.
const BLOCK: u64 = 512;

/// How many descriptors a process has open; 0 if it has ended.
pub(crate) fn count(pid: i32) -> u64 {
    entries(pid).count() as u64
}

fn entries(pid: i32) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// Whether a process writes to a segment of the journal in this directory that is complete and has
/// not been removed.
pub(crate) fn have_segment(pid: i32, directory: &Path) -> bool {
    entries(pid).any(|entry| is_segment(pid, &entry, directory) == Some(true))
}

/// Whether one descriptor of a process is that of such a segment; `None` if it is closed meanwhile.
fn is_segment(pid: i32, entry: &Path, directory: &Path) -> Option<bool> {
    let path = fs::read_link(entry).ok()?;
    let name = path.file_name()?.to_string_lossy();
    // The kernel writes ` (deleted)` after the name of a file that has none any more.
    if path.parent() != Some(directory) || !name.starts_with("journal-") || name.contains(' ') {
        return Some(false);
    }
    // A helper that only reads what an earlier one has written does not know everything yet.
    let number = entry.file_name()?.to_string_lossy();
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
    let is_written = OFlags::from_bits_retain(flags).intersects(OFlags::WRONLY | OFlags::RDWR);
    let metadata = fs::metadata(entry).ok()?;
    let is_complete = metadata.blocks() * BLOCK >= metadata.len() + SET_ASIDE;
    Some(is_written && is_complete)
}

/// How many descriptors a process may have: its soft and its hard limit, `None` for no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Limits {
    soft: Option<u64>,
    hard: Option<u64>,
}

impl Limits {
    /// Those of a process, if it is there.
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let words = text
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        let mut words = words.split_whitespace();
        let mut next = || match words.next()? {
            "unlimited" => Some(None),
            number => Some(Some(number.parse().ok()?)),
        };
        Some(Limits {
            soft: next()?,
            hard: next()?,
        })
    }

    /// Sets them. Whether the process is there and may be changed.
    fn set(self, pid: i32) -> bool {
        let new = Rlimit {
            current: self.soft,
            maximum: self.hard,
        };
        Pid::from_raw(pid).is_some_and(|pid| prlimit(Some(pid), Resource::Nofile, new).is_ok())
    }
}

/// A process that may open only a few descriptors, and the limits that it had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lowered {
    pub(crate) pid: i32,
    before: Limits,
    now: Limits,
}

/// Lets a process open only so many descriptors more than it has, if that can be done.
pub(crate) fn lower(pid: i32, spare: u64) -> Option<Lowered> {
    let before = Limits::of(pid)?;
    let now = Limits {
        soft: Some(count(pid) + spare),
        ..before
    };
    now.set(pid).then_some(Lowered { pid, before, now })
}

impl Lowered {
    /// Gives the process its limits back, and those of its children that were started meanwhile and
    /// have inherited the lower one. Those that have ended do not mind.
    pub(crate) fn raise(self) {
        for pid in children(self.pid).into_iter().chain([self.pid]) {
            if Limits::of(pid) == Some(self.now) {
                self.before.set(pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FallocateFlags, fallocate};
    use std::fs::File;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_limited_to_what_it_has_open_and_gets_its_limit_back() {
        let mut cat = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(cat.id()).unwrap();
        // It has other limits than this program.
        let own = Limits {
            soft: Some(77),
            hard: Some(99),
        };
        assert!(own.set(pid));
        let lowered = lower(pid, 2).unwrap();
        assert!(Limits::of(pid).unwrap().soft < own.soft);
        lowered.raise();
        assert_eq!(Limits::of(pid), Some(own));
        let lowered = lower(pid, 2).unwrap();
        let changed = Limits {
            soft: Some(55),
            ..own
        };
        assert!(changed.set(pid));
        lowered.raise();
        assert_eq!(Limits::of(pid), Some(changed), "it has changed them itself");
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert_eq!(lower(pid, 2), None, "it has ended");
    }

    #[test]
    fn only_a_segment_that_is_written_and_complete_and_has_its_name_counts() {
        let directory = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let has = || have_segment(own, directory.path());
        let segment = directory.path().join("journal-7");
        let written = File::create(&segment).unwrap();
        assert!(!has(), "nothing is set aside");
        fallocate(&written, FallocateFlags::KEEP_SIZE, 0, 2 * SET_ASIDE).unwrap();
        assert!(has());
        assert!(!have_segment(own, Path::new("/elsewhere")));
        let read = File::open(&segment).unwrap();
        drop(written);
        assert!(!has(), "it is only read");
        drop(read);
        let written = File::options().append(true).open(&segment).unwrap();
        assert!(has());
        fs::remove_file(&segment).unwrap();
        assert!(!has());
        drop(written);
    }
}
