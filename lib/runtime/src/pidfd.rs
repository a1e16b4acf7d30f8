// SPDX-License-Identifier: GPL-3.0-or-later
//! Waiting for the end of a process by its descriptor, and signals to it and its process group.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal,
    test_kill_process,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
                // There is none, or the number is that of a thread. No child of a helper is a
                // thread.
                Some(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Its process number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits until the process has ended; a child is left to be reaped. Cancel safe.
    pub async fn ended(&self) {
        // The only error is that the event loop is ending, and then nothing waits any more.
        let _ = self.exit.readable().await;
    }

    /// Sends a signal to the process group that the process was made to lead, and to the process
    /// itself if it has left that group. To be called only before the process is reaped, while its
    /// number cannot mean another process.
    ///
    /// # Errors
    /// `EPERM` if the process, or all that is left of the group, belongs to another user and we
    /// have no right over it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let group = kill_process_group(self.pid, signal);
        // Checked after the group was signalled: a process that leaves the group meanwhile may get
        // the signal twice, but always at least once. `KILL` is sent to it in any case, since it
        // may leave the group and return at any time.
        let has_left = getpgid(Some(self.pid)).is_ok_and(|group| group != self.pid);
        let process = if has_left || signal == Signal::KILL {
            pidfd_send_signal(self.exit.get_ref(), signal)
        } else {
            // The group may be signalled while this process is not.
            test_kill_process(self.pid)
        };
        ended_is_well(process)?;
        ended_is_well(group)
    }
}

/// What has ended needs no signal.
fn ended_is_well(sent: Result<(), Errno>) -> io::Result<()> {
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    /// A process that ends by itself if no signal ends it, and so makes the test fail.
    fn sleeping(command: &mut Command) -> Child {
        command.arg("20").spawn().unwrap()
    }

    fn pid(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    fn watched(child: &Child) -> Watched {
        Watched::find(pid(child)).unwrap().unwrap()
    }

    fn end(mut child: Child) -> Option<i32> {
        child.wait().unwrap().signal()
    }

    #[tokio::test]
    async fn a_signal_reaches_the_whole_group() {
        for signal in [Signal::TERM, Signal::KILL] {
            let leader = sleeping(Command::new("sleep").process_group(0));
            let other = sleeping(Command::new("sleep").process_group(pid(&leader)));
            watched(&leader).signal(signal).unwrap();
            let number = Some(signal.as_raw());
            assert_eq!([end(leader), end(other)], [number, number]);
        }
    }

    #[tokio::test]
    async fn a_signal_reaches_a_process_that_has_left_its_group_and_not_those_that_it_has_joined() {
        for signal in [Signal::TERM, Signal::KILL] {
            let joined = sleeping(Command::new("sleep").process_group(0));
            let process = sleeping(Command::new("sleep").process_group(pid(&joined)));
            let watched_joined = watched(&joined);
            watched(&process).signal(signal).unwrap();
            assert_eq!(end(process), Some(signal.as_raw()));
            assert_eq!(
                getpgid(Some(Pid::from_child(&joined))).unwrap(),
                Pid::from_child(&joined)
            );
            watched_joined.signal(Signal::USR1).unwrap();
            assert_eq!(end(joined), Some(Signal::USR1.as_raw()));
        }
    }

    #[tokio::test]
    async fn a_process_that_has_ended_needs_no_signal() {
        let child = sleeping(Command::new("sleep").process_group(0));
        let watched = watched(&child);
        watched.signal(Signal::KILL).unwrap();
        watched.ended().await;
        watched.signal(Signal::TERM).unwrap();
        assert_eq!(end(child), Some(Signal::KILL.as_raw()));
        watched.signal(Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn it_is_told_if_we_have_no_right_over_the_process_although_another_of_its_group_is_ours()
    {
        if !geteuid().is_root() {
            // Nobody else can make a process of another user.
            return;
        }
        for signal in [Signal::TERM, Signal::KILL] {
            let leader = sleeping(Command::new("sleep").process_group(0));
            let mut command = Command::new("sleep");
            let ours = sleeping(command.uid(OURS).process_group(pid(&leader)));
            let watched = watched(&leader);
            let told = as_user(OURS, || watched.signal(signal));
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(end(ours), Some(signal.as_raw()));
            watched.signal(Signal::KILL).unwrap();
            assert_eq!(end(leader), Some(Signal::KILL.as_raw()));
        }
    }

    /// Somebody who is nobody here.
    const OURS: u32 = 65_533;

    /// What a thread of this user, without rights, is told.
    fn as_user<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let user = Uid::from_raw(user);
                // Of this thread alone.
                set_thread_res_uid(user, user, user).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }
}
