// SPDX-License-Identifier: GPL-3.0-or-later
//! Waiting for the end of a process by its descriptor, and signals to its process group.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use crate::descriptor;

/// A process that is watched. The descriptor means this process even after its number was used
/// again, and unlike `SIGCHLD` it never reports two ends as one.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    exit: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Watches a process, which need not be a child. To be called within a runtime.
    ///
    /// # Errors
    /// What the system says: `ESRCH` if there is no such process.
    pub fn new(pid: Pid) -> io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::empty())?;
        let exit = descriptor::watch(fd, Interest::READABLE)?;
        Ok(Watched { pid, exit })
    }

    /// Finds a process by its number and watches it; `None` if there is none. To be called within a
    /// runtime.
    ///
    /// # Errors
    /// What the system says if it refuses to let the process be watched.
    pub fn find(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid).filter(|_| pid > 1) else {
            return Ok(None);
        };
        match Self::new(number) {
            Ok(watched) => Ok(Some(watched)),
            Err(error) => match Errno::from_io_error(&error) {
                // There is none, or the number is that of a thread, and no child of a helper is
                // one.
                Some(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Waits until the process has ended; a child is left to be reaped. Cancel safe.
    pub async fn ended(&self) {
        // The only error is that the event loop is ending, and then nothing waits any more.
        let _ = self.exit.readable().await;
    }

    /// Sends a signal to the process group that the process leads. To be called only before the
    /// process is reaped, while its number cannot mean another process.
    pub fn signal_group(&self, signal: Signal) {
        match kill_process_group(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => warn!(
                pid = self.pid.as_raw_nonzero().get(),
                ?signal,
                %error,
                "cannot send a signal to a script: it runs as another user"
            ),
        }
    }
}
