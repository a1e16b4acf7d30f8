// SPDX-License-Identifier: GPL-3.0-or-later
//! The pipes into which scripts write: creating them, and finding those of a script that an earlier
//! helper started.
//!
//! A script's end is open for reading as well as for writing. So the script itself keeps the pipe
//! readable: when this helper dies, what the script writes waits in the pipe for the next helper,
//! and the script is not ended by `SIGPIPE` in the middle of its work. The output still ends when
//! the last such end is closed.
//!
//! Most scripts are short. When one ends, that would wake this helper three times, for two pipes
//! and for the process. So the helper keeps an end of its own open for a while ([`Held`]), and such
//! a script wakes it only once.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connect_runtime::exhaustion::unless_exhausted;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::path::DecInt;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;
use tracing::warn;

/// Where this process finds its own descriptors.
const OWN: &str = "/proc/self/fd";

/// The flags of a descriptor that say how it was opened (`O_ACCMODE`), and the value for reading
/// and writing (`O_RDWR`).
const ACCESS_MODE: u32 = 0o3;
const READ_AND_WRITE: u32 = 0o2;

/// The maker of pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// [`OWN`], held open, since each script has two pipes; `None` if there is no such directory.
    own: Option<OwnedFd>,
}

/// A pipe that was made for a script.
#[derive(Debug)]
pub(crate) struct Made {
    /// The end to be read, which does not block.
    pub(crate) ours: Receiver,
    /// The end for the child, which does.
    pub(crate) for_child: OwnedFd,
    /// Another such end, which the helper keeps open for a while.
    held: Option<OwnedFd>,
}

/// Write ends that this helper keeps open: until it closes them, the output does not end. Clones
/// are the same ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<Vec<OwnedFd>>>);

/// The pipes of a script of an earlier helper; `None` where the script writes to something else.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) stdout: Option<Receiver>,
    pub(crate) stderr: Option<Receiver>,
}

impl Pipes {
    /// Opens what is needed to create pipes.
    pub(crate) fn new() -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = openat(CWD, OWN, flags, Mode::empty());
        let own = own.inspect_err(|error| warn_of_plain_pipes(*error)).ok();
        Pipes { own }
    }

    /// Makes one.
    pub(crate) fn make(&self) -> io::Result<Made> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let ours = Receiver::from_owned_fd_unchecked(reading)?;
        let (for_child, held) = match self.open_both_ways(&writing) {
            Some(both) => (both, Some(writing)),
            None => {
                ioctl_fionbio(&writing, false)?;
                (writing, None)
            }
        };
        Ok(Made {
            ours,
            for_child,
            held,
        })
    }

    /// The same pipe, opened for reading and writing; it blocks.
    fn open_both_ways(&self, writing: &OwnedFd) -> Option<OwnedFd> {
        let name = DecInt::from_fd(writing.as_fd());
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        openat(self.own.as_ref()?, name, flags, Mode::empty()).ok()
    }
}

impl Held {
    /// The write ends of these pipes.
    pub(crate) fn of(pipes: [&mut Made; 2]) -> Self {
        let ends = pipes.into_iter().filter_map(|pipe| pipe.held.take());
        Held(Arc::new(Mutex::new(ends.collect())))
    }

    /// Closes them.
    pub(crate) fn release(&self) {
        drop(std::mem::take(&mut *self.lock()));
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the pipes of a script that an earlier helper started. To be called within a runtime, and
/// only when that helper no longer reads: with two readers, each would get a part.
///
/// # Errors
/// If they cannot be opened since descriptors or memory are missing. Nobody would read them then,
/// and the script would wait when they are full.
pub(crate) fn find(pid: i32) -> io::Result<Found> {
    let (stdout, stderr) = (script_pipe(pid, 1)?, script_pipe(pid, 2)?);
    let inode = |pipe: &Option<(Receiver, u64)>| pipe.as_ref().map(|(_, inode)| *inode);
    // A script that has joined them (2>&1) writes to only one of them, which must not be read
    // twice.
    let joined = inode(&stdout) == inode(&stderr);
    Ok(Found {
        stdout: stdout.map(|(pipe, _)| pipe),
        stderr: stderr.filter(|_| !joined).map(|(pipe, _)| pipe),
    })
}

/// The pipe at this descriptor of a process, and its number, if a helper created it.
fn script_pipe(pid: i32, descriptor: u8) -> io::Result<Option<(Receiver, u64)>> {
    let opened = open_script_pipe(pid, descriptor);
    opened.or_else(|error| unless_exhausted(error).map(|()| None))
}

fn open_script_pipe(pid: i32, descriptor: u8) -> io::Result<Option<(Receiver, u64)>> {
    let path = format!("/proc/{pid}/fd/{descriptor}");
    let link = fs::read_link(&path)?;
    let Some(inode) = link.to_str().and_then(pipe_inode) else {
        return Ok(None);
    };
    // A pipe of a shell, which is not for us, has an end that can only be written.
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))?;
    if !is_open_both_ways(&info) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = openat(CWD, &path, flags, Mode::empty())?;
    // The script may have opened something else there since.
    let stat = fstat(&pipe)?;
    let is_same = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_ino == inode;
    let pipe = Receiver::from_owned_fd_unchecked(pipe)?;
    Ok(is_same.then_some((pipe, inode)))
}

/// The number of a pipe without a name.
pub(crate) fn pipe_inode(link: &str) -> Option<u64> {
    link.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether a descriptor was opened for reading and writing, by what `/proc` says of it.
pub(crate) fn is_open_both_ways(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS_MODE == READ_AND_WRITE)
}

fn warn_of_plain_pipes(error: Errno) {
    warn!(
        %error,
        "cannot open {OWN}; a script that writes after the death of connect-ifscripts is ended by \
         SIGPIPE; mount /proc"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{read, write};

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_after_the_end_of_the_reader_waits_for_the_next() {
        let Made {
            ours: first,
            for_child: end,
            ..
        } = Pipes::new().make().unwrap();
        write(&end, b"one\n").unwrap();
        drop(first);
        write(&end, b"two\n").unwrap();
        let descriptor = u8::try_from(std::os::fd::AsRawFd::as_raw_fd(&end)).unwrap();
        let (next, _) = script_pipe(own_pid(), descriptor).unwrap().unwrap();
        let mut bytes = [0; 64];
        assert_eq!(read(&next, &mut bytes), Ok(8));
        assert_eq!(&bytes[..8], b"one\ntwo\n");
        assert_eq!(read(&next, &mut bytes), Err(Errno::AGAIN));
        drop(end);
        assert_eq!(read(&next, &mut bytes), Ok(0), "the end of the output");
    }

    #[tokio::test]
    async fn a_held_end_keeps_the_output_from_ending() {
        let mut made = Pipes::new().make().unwrap();
        let mut other = Pipes::new().make().unwrap();
        let held = Held::of([&mut made, &mut other]);
        drop(made.for_child);
        let mut bytes = [0; 64];
        assert_eq!(read(&made.ours, &mut bytes), Err(Errno::AGAIN));
        assert!(!held.is_empty());
        held.clone().release();
        assert!(held.is_empty());
        assert_eq!(read(&made.ours, &mut bytes), Ok(0));
    }

    #[tokio::test]
    async fn without_proc_the_end_is_a_plain_one() {
        let made = Pipes { own: None }.make().unwrap();
        drop(made.ours);
        let end = made.for_child;
        // The tests ignore the signal, as each program in Rust does.
        assert_eq!(write(&end, b"one\n"), Err(Errno::PIPE));
    }

    #[test]
    fn only_a_pipe_without_a_name_that_is_open_both_ways_is_a_helpers() {
        assert_eq!(pipe_inode("pipe:[4711]"), Some(4_711));
        for other in ["/dev/null", "pipe:[x]", "/tmp/pipe:[1]", "socket:[1]", ""] {
            assert_eq!(pipe_inode(other), None, "{other}");
        }
        assert!(is_open_both_ways("pos:\t0\nflags:\t0100002\nmnt_id:\t14\n"));
        for other in [
            "flags:\t0100001\n",
            "flags:\t00\n",
            "flags:\tx\n",
            "pos:\t2\n",
            "",
        ] {
            assert!(!is_open_both_ways(other), "{other}");
        }
    }
}
