// SPDX-License-Identifier: GPL-3.0-or-later
//! The file descriptors of a process: how many it has open, and how many it may have.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::leftovers::children;

/// What the open descriptors of a process lead to; none if the process has ended.
pub(crate) fn open(pid: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect()
}

/// Whether one of them is a segment of the journal in this directory that has not been removed.
pub(crate) fn have_segment(open: &[PathBuf], directory: &Path) -> bool {
    open.iter().any(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        // The kernel writes ` (deleted)` after the name of a file that has none any more.
        let is_segment =
            name.is_some_and(|name| name.starts_with("journal-") && !name.contains(' '));
        is_segment && path.parent() == Some(directory)
    })
}

/// Lets a process open only so many descriptors more than it has. Whether that could be done.
pub(crate) fn lower(pid: i32, spare: u64) -> bool {
    let count = open(pid).len() as u64;
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
    fn only_a_segment_that_still_has_its_name_counts() {
        let directory = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let has = || have_segment(&open(own), directory.path());
        let segment = directory.path().join("journal-7");
        let held = File::create(&segment).unwrap();
        assert!(has());
        assert!(!have_segment(&open(own), Path::new("/elsewhere")));
        fs::remove_file(&segment).unwrap();
        assert!(!has());
        drop(held);
    }
}
