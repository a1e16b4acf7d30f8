// SPDX-License-Identifier: GPL-3.0-or-later
//! What is left of a run: processes with its mark, and files that nobody needs any more.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::guard::MARK;

/// The processes that were started by the run of a directory and still exist, each with its command
/// line.
pub(crate) fn marked(directory: &Path) -> Vec<(i32, String)> {
    let mark = format!("{MARK}={}", directory.display());
    let is_marked = |pid: i32| {
        // A process that is gone meanwhile, or that is a zombie, has no environment.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_marked(*pid))
        .map(|pid| (pid, command_line(pid)))
        .collect()
}

/// The command line of a process; empty if it is gone.
pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0);
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    words.join(" ").trim_end().to_owned()
}

/// The children of a process: all of its threads may have some.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids: Vec<i32> = list
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            pids
        })
        .collect()
}

/// The children of a process that have ended and that it has not asked how: they would stay until
/// it ends.
pub(crate) fn zombies(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_zombie = |pid: &i32| {
        // After the name, which is in brackets, come the state and the parent.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut words = rest.split(' ');
        words.next() == Some("Z") && words.next().and_then(|it| it.parse().ok()) == Some(parent)
    };
    pids.filter(is_zombie).collect()
}

/// The sockets and temporary files below a directory, but for those of this name.
pub(crate) fn files(directory: &Path, server_socket: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(directory, &mut found);
    found.retain(|path| path != server_socket);
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            collect(&entry.path(), found);
        } else if kind.is_socket()
            || name.starts_with('.')
            || ["tmp", "new"].iter().any(|word| name.contains(word))
        {
            found.push(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_that_has_ended_and_was_not_asked_how_is_a_zombie() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while !zombies(own).contains(&pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!zombies(own).contains(&pid));
    }
}
