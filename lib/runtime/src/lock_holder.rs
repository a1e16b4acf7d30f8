// SPDX-License-Identifier: GPL-3.0-or-later
//! Which process holds the lock of the journal of scripts, as that process has written it into the
//! lock file.
//!
//! The lock itself does not say who has it, and a process that waits for it, `connect` and `doctor`
//! all need to know. What a dead holder has left in the file counts for nothing: the start time
//! tells it from a later process with the same number.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::start_time::Stat;

/// The file, in the directory of the journal, that a script helper locks as long as it lives.
pub const LOCK: &str = "lock";

/// More than a line needs: two numbers, a space and a newline.
const LINE_SIZE: usize = 64;

/// How much is read of the command line of a process. The option that is looked for is among the
/// first.
const COMMAND_LINE_SIZE: usize = 4096;

/// The option by which `connect` tells a helper who has started it.
const PARENT: &str = "--parent";

/// A process that has taken the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// When it was started, in clock ticks since boot.
    pub start_time: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

impl Holder {
    /// This process; `None` if the system does not say when it was started.
    #[must_use]
    pub fn own() -> Option<Self> {
        let pid = i32::try_from(std::process::id()).ok()?;
        let start_time = Stat::of(pid)?.start_time;
        Some(Holder { pid, start_time })
    }

    /// Writes it into the lock file, in place of what stands there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(self, file: &File) -> io::Result<()> {
        let line = format!("{} {}\n", self.pid, self.start_time);
        file.write_all_at(line.as_bytes(), 0)?;
        file.set_len(line.len() as u64)
    }

    /// What stands in the lock file, if that process lives.
    #[must_use]
    pub fn read(file: &File) -> Option<Self> {
        let mut buffer = [0; LINE_SIZE];
        let length = file.read_at(&mut buffer, 0).ok()?;
        let holder = parse(buffer.get(..length)?)?;
        holder.stat().map(|_| holder)
    }

    /// What stands in the lock file of this directory, if that process lives. With an `owner`, the
    /// file of another user counts for nothing.
    #[must_use]
    pub fn find(directory: &Path, owner: Option<u32>) -> Option<Self> {
        Self::read(&open(directory, owner)?)
    }

    /// Whether the `connect` that started it has ended: its parent is another one than its command
    /// line names.
    #[must_use]
    pub fn is_orphan(self) -> bool {
        let Some(stat) = self.stat() else {
            return false;
        };
        self.named_parent()
            .is_some_and(|parent| parent != stat.parent)
    }

    /// How many children it has.
    #[must_use]
    pub fn children(self) -> usize {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let stats = numbers.filter_map(Stat::of);
        stats.filter(|stat| stat.parent == self.pid).count()
    }

    /// Sends it `KILL`, which ends a stopped process too. `false` if it has ended already.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(self) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 1) else {
            return Ok(false);
        };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // The descriptor always means one process. So if the start time fits now, it is the holder.
        if self.stat().is_none() {
            return Ok(false);
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the system says of it, if it lives.
    fn stat(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.start_time == self.start_time)
    }

    /// The parent that its command line names.
    fn named_parent(self) -> Option<i32> {
        let file = File::open(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let mut buffer = [0; COMMAND_LINE_SIZE];
        let length = file.read_at(&mut buffer, 0).ok()?;
        parent_in(buffer.get(..length)?)
    }
}

/// Whether any process has the lock of this directory, even if the file names nobody: a child of a
/// dead helper has it until its program is executed.
#[must_use]
pub fn is_locked(directory: &Path, owner: Option<u32>) -> bool {
    // If we get the lock, it ends at once, when the file is closed.
    open(directory, owner).is_some_and(|file| {
        flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    })
}

/// Opens the lock file of a directory.
fn open(directory: &Path, owner: Option<u32>) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = directory.join(LOCK);
    let file = openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let is_trusted = owner.is_none_or(|owner| owner == stat.st_uid);
    (is_plain && is_trusted).then(|| file.into())
}

/// Reads what [`Holder::write`] has written. A line without a newline is just being written.
pub(crate) fn parse(bytes: &[u8]) -> Option<Holder> {
    let (line, _) = str::from_utf8(bytes).ok()?.split_once('\n')?;
    let (pid, start_time) = line.split_once(' ')?;
    Some(Holder {
        pid: pid.parse().ok().filter(|pid| *pid > 0)?,
        start_time: start_time.parse().ok()?,
    })
}

/// The value of `--parent` in a command line as the system gives it.
pub(crate) fn parent_in(command_line: &[u8]) -> Option<i32> {
    let mut words = command_line.split(|byte| *byte == 0);
    words.find(|word| *word == PARENT.as_bytes())?;
    str::from_utf8(words.next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use rustix::process::geteuid;

    #[test]
    fn a_living_holder_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let find = || Holder::find(dir.path(), Some(geteuid().as_raw()));
        assert_eq!(find(), None);
        let own = Holder::own().unwrap();
        let long = "x".repeat(500);
        fs::write(dir.path().join(LOCK), long).unwrap();
        assert_eq!(find(), None);
        let file = File::options()
            .write(true)
            .open(dir.path().join(LOCK))
            .unwrap();
        own.write(&file).unwrap();
        assert_eq!(find(), Some(own));
        let other_user = geteuid().as_raw() + 1;
        assert_eq!(Holder::find(dir.path(), Some(other_user)), None);
        assert_eq!(Holder::find(dir.path(), None), Some(own));
        let later = Holder {
            start_time: own.start_time + 1,
            ..own
        };
        later.write(&file).unwrap();
        assert_eq!(find(), None, "the number is that of another process");
        own.write(&file).unwrap();
        fs::rename(dir.path().join(LOCK), dir.path().join("elsewhere")).unwrap();
        symlink("elsewhere", dir.path().join(LOCK)).unwrap();
        assert_eq!(find(), None, "a symbolic link is not followed");
    }

    #[test]
    fn a_line_that_is_not_whole_says_nothing() {
        let holder = Holder {
            pid: 12,
            start_time: 345,
        };
        assert_eq!(parse(b"12 345\n"), Some(holder));
        assert_eq!(parse(b"12 345\nrest"), Some(holder));
        for bytes in [&b"12 345"[..], b"12\n", b"", b"-1 5\n", b"0 5\n", b"\xff\n"] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn an_orphan_has_another_parent_than_it_was_started_by() {
        assert_eq!(parent_in(b"x\0--parent\x0012\0--log\0"), Some(12));
        for line in [&b"x\0"[..], b"x\0--parent", b"x\0--parent\0y\0", b""] {
            assert_eq!(parent_in(line), None, "{line:?}");
        }
        let own = std::process::id();
        for (parent, orphan) in [(own, false), (own + 1, true)] {
            // The words after the script are those of the command line only.
            let mut child = Command::new("/bin/sh")
                .args(["-c", "echo; read line", "x", PARENT, &parent.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // Its command line is there once it runs.
            let mut output = child.stdout.take().unwrap();
            output.read_exact(&mut [0]).unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let start_time = Stat::of(pid).unwrap().start_time;
            let holder = Holder { pid, start_time };
            assert_eq!(holder.is_orphan(), orphan, "{parent}");
            assert_eq!(holder.children(), 0);
            assert!(Holder::own().unwrap().children() > 0);
            let later = Holder {
                start_time: start_time + 1,
                ..holder
            };
            assert!(!later.kill().unwrap(), "it is another process");
            assert!(holder.kill().unwrap());
            child.wait().unwrap();
            assert!(!holder.kill().unwrap());
            assert!(!holder.is_orphan());
        }
        assert!(!Holder::own().unwrap().is_orphan());
    }
}
