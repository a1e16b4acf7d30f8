// SPDX-License-Identifier: GPL-3.0-or-later
//! Waiting for earlier script helpers if the lock cannot show whether there is one.
//!
//! A helper that cannot use the directory of the journal would run scripts at the same time as an
//! earlier helper. It recognizes the earlier one by its program and by the directory in its command
//! line.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use connect_runtime::exhaustion::unless_exhausted;
use connect_runtime::notifier::Notifier;
use connect_runtime::start_time::Stat;
use rustix::process::geteuid;
use tokio::time::sleep;
use tracing::warn;

/// How often to check whether it has ended. Somebody has to repair the fault, so a second more does
/// not matter, and a check takes a few milliseconds.
const LOOK: Duration = Duration::from_secs(1);

/// The name of this program.
const PROGRAM: &str = "connect-ifscripts";

/// What the system adds to the name of a program whose file was replaced, as by an upgrade.
const REPLACED: &str = " (deleted)";

/// The option that names the directory.
const OPTION: &str = "--journal-dir";

/// Waits until no earlier helper runs that was started with this directory. Returns whether there
/// was one.
pub(crate) async fn ended(directory: &Path, error: &str, notifier: &mut Notifier) -> bool {
    let mut told = None;
    loop {
        match find(directory) {
            Ok(None) => return told.is_some(),
            Ok(Some(pid)) if told.replace(pid) != Some(pid) => {
                tell(directory, pid, error, notifier);
            }
            // Without descriptors we cannot look, so there may be one.
            Ok(Some(_)) | Err(_) => {}
        }
        notifier.feed();
        sleep(LOOK).await;
    }
}

fn tell(directory: &Path, pid: i32, error: &str, notifier: &mut Notifier) {
    let path = directory.display();
    notifier.status(&format!(
        "waiting for another script helper to end: process {pid}"
    ));
    warn!(
        %path,
        pid,
        error,
        "another script helper locks the directory of the journal; waiting for it to end, and \
         starting no script meanwhile; if that process is stopped or hangs, kill it: its scripts \
         go on"
    );
}

/// An earlier helper with this directory. Only earlier ones count, so that no two wait for each
/// other; and only those of our user or of root, since anybody can name a program like ours.
///
/// # Errors
/// If we cannot look since descriptors or memory are missing.
fn find(directory: &Path) -> io::Result<Option<i32>> {
    let Ok(own) = i32::try_from(std::process::id()) else {
        return Ok(None);
    };
    let Some(begin) = Stat::look_at(own)?.map(|stat| (stat.start_time, own)) else {
        return Ok(None);
    };
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries.flatten(),
        Err(error) => return unless_exhausted(error).map(|()| None),
    };
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let is_earlier = Stat::look_at(pid)?.is_some_and(|stat| (stat.start_time, pid) < begin);
        if is_earlier && is_helper(pid) && is_of(pid, directory)? {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Whether the command line of a process names this directory.
fn is_of(pid: i32, directory: &Path) -> io::Result<bool> {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => Ok(names(&line, directory)),
        Err(error) => unless_exhausted(error).map(|()| false),
    }
}

fn is_helper(pid: i32) -> bool {
    let owner = fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid());
    let is_ours = owner.is_ok_and(|owner| owner == 0 || owner == geteuid().as_raw());
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = program.as_deref().and_then(Path::file_name);
    let name = name.and_then(OsStr::to_str);
    is_ours && name.is_some_and(|name| name.strip_suffix(REPLACED).unwrap_or(name) == PROGRAM)
}

/// Whether a command line as the system gives it has the option with this directory.
pub(crate) fn names(command_line: &[u8], directory: &Path) -> bool {
    let directory = directory.as_os_str().as_bytes();
    let mut words = command_line.split(|byte| *byte == 0);
    while let Some(word) = words.next() {
        match word.strip_prefix(OPTION.as_bytes()) {
            Some([]) => return words.next() == Some(directory),
            Some([b'=', value @ ..]) => return value == directory,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_directory_is_found_in_a_command_line() {
        let is_named = |line| names(line, Path::new("/run/x"));
        assert!(is_named(b"p\0--socket\0s\0--journal-dir\0/run/x\0"));
        assert!(is_named(b"p\0--journal-dir=/run/x\0--more\0"));
        for line in [
            &b"p\0--journal-dir\0/run/xy\0"[..],
            b"p\0--journal-dir",
            b"p\0--journal-dirs\0/run/x\0",
            b"",
        ] {
            assert!(!is_named(line), "{line:?}");
        }
    }

    #[test]
    fn neither_another_program_nor_a_later_process_counts() {
        let directory = tempfile::tempdir().unwrap();
        let mut other = Command::new("cat")
            .args(["-", "--", OPTION])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(find(directory.path()).unwrap(), None);
        drop(other.stdin.take());
        other.wait().unwrap();
    }
}
