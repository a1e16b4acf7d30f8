// SPDX-License-Identifier: GPL-3.0-or-later
//! The file descriptors of a process: how many it has open, and how many it may have.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

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

/// Lets a process open only so many descriptors more than it has. Whether that could be done.
pub(crate) fn lower(pid: i32, spare: u64) -> bool {
    let count = count(pid);
    count > 0 && limit(pid, count + spare)
}

/// Lets a process and its children have as many again as this program may: all inherit their limit
/// from it, and what a process starts meanwhile inherits the lower one.
pub(crate) fn raise(pid: i32) {
    let usual = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    for pid in children(pid).into_iter().chain([pid]) {
        limit(pid, usual);
    }
}

/// Sets the soft limit. A process that has ended does not mind.
fn limit(pid: i32, soft: u64) -> bool {
    let new = Rlimit {
        current: Some(soft),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    Pid::from_raw(pid).is_some_and(|pid| prlimit(Some(pid), Resource::Nofile, new).is_ok())
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
        let soft = || {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let line = limits
                .lines()
                .find(|line| line.starts_with("Max open files"));
            line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
        };
        let before = soft();
        assert!(lower(pid, 2));
        assert!(soft().unwrap() < before.unwrap());
        raise(pid);
        assert_eq!(soft(), before);
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert!(!lower(pid, 2), "it has ended");
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
