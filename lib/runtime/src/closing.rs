// SPDX-License-Identifier: GPL-3.0-or-later
//! Closes the sockets of strangers, who can make a close take long.
//!
//! When a socket is closed, the kernel discards what was sent to it and not read, and closes the
//! descriptors that came with it. If nobody else has such a descriptor, the kernel also ends what
//! it refers to, and for a network connection that can wait for hours for the other side
//! (`SO_LINGER`). So a thread closes the sockets with something unread, and a second thread
//! interrupts a close that waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::ioctl_fionread;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use tokio::signal::unix::{SignalKind, signal};

use crate::threads;

/// The signal that interrupts a close. Nothing else sends it to this process.
const INTERRUPT: Signal = Signal::SIGURG;

/// How long a close may take before it is interrupted.
const PATIENCE: Duration = Duration::from_millis(50);

/// The same while [`CROWD`] sockets or more wait to be closed.
const LITTLE_PATIENCE: Duration = Duration::from_millis(1);

/// While this many sockets wait to be closed, no connection should be accepted.
const CROWD: usize = 128;

/// The sockets that the threads are to close.
static QUEUE: OnceLock<Queue> = OnceLock::new();

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<OwnedFd>,
    /// The thread that closes, while it does.
    closing: Option<Pthread>,
    /// How many were closed.
    closed: u64,
}

/// Starts the threads, so that `close` never waits. To be called within a runtime.
///
/// # Errors
/// If the system refuses a thread or the signal.
pub fn start() -> io::Result<()> {
    if QUEUE.get().is_some() {
        return Ok(());
    }
    // Only a signal that is caught interrupts anything. It stays caught when this is dropped.
    drop(signal(SignalKind::from_raw(INTERRUPT as i32))?);
    let queue = QUEUE.get_or_init(Queue::default);
    threads::start("close", || queue.close_all())?;
    threads::start("interrupt", || queue.interrupt_all())?;
    Ok(())
}

/// Closes a socket that a stranger may have written to.
pub(crate) fn close(socket: OwnedFd) {
    // Nothing can come in from here on.
    let _ = shutdown(&socket, Shutdown::Both);
    let is_empty = matches!(ioctl_fionread(&socket), Ok(0));
    // Without threads this is a program that serves no strangers.
    if !is_empty && let Some(queue) = QUEUE.get() {
        queue.lock().waiting.push_back(socket);
        queue.changed.notify_all();
    }
}

/// Closes the connections that wait to be accepted on a socket. Nobody can connect to it any more,
/// so it is not for a socket that another process has too.
pub fn close_listener(listener: impl AsFd) {
    // Nobody can connect from here on.
    let _ = shutdown(&listener, Shutdown::Read);
    while let Ok(socket) = accept_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        close(socket);
    }
}

/// Waits while `CROWD` sockets or more wait to be closed. Then connections may be accepted.
pub async fn uncrowded() {
    while QUEUE
        .get()
        .is_some_and(|queue| queue.lock().waiting.len() >= CROWD)
    {
        tokio::time::sleep(LITTLE_PATIENCE).await;
    }
}

impl Queue {
    fn close_all(&self) {
        // It fails only if the set of signals is not in our memory.
        let _ = SigSet::from(INTERRUPT).thread_unblock();
        let mut state = self.lock();
        loop {
            let Some(socket) = state.waiting.pop_front() else {
                state = self.wait(state);
                continue;
            };
            state.closing = Some(pthread_self());
            drop(state);
            self.changed.notify_all();
            drop(socket);
            state = self.lock();
            state.closing = None;
            state.closed += 1;
            self.changed.notify_all();
        }
    }

    fn interrupt_all(&self) {
        let mut state = self.lock();
        loop {
            if state.closing.is_none() {
                state = self.wait(state);
                continue;
            }
            let closed = state.closed;
            let crowded = state.waiting.len() >= CROWD;
            let patience = if crowded { LITTLE_PATIENCE } else { PATIENCE };
            let over = |state: &mut State| state.closed == closed;
            let waited = self.changed.wait_timeout_while(state, patience, over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            // The thread needs the lock to end, so it exists, and is in the close or just before or
            // after it.
            if state.closed == closed
                && let Some(thread) = state.closing
            {
                let _ = pthread_kill(thread, INTERRUPT);
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{IoSlice, Read as _, Write as _};
    use std::mem::MaybeUninit;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::net::sockopt::set_socket_linger;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    /// A connection of which a close would wait for an hour, and its other side, which reads
    /// nothing.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[b'x'; 65_536]).is_ok() {}
        ours.set_nonblocking(false).unwrap();
        set_socket_linger(&ours, Some(Duration::from_secs(3600))).unwrap();
        (ours, theirs)
    }

    /// Sends these bytes and the last copy of a descriptor.
    pub(crate) fn send_with(
        to: &UnixStream,
        bytes: &[u8],
        carried: impl AsFd,
        urgent: bool,
    ) -> rustix::io::Result<usize> {
        let flags = if urgent {
            SendFlags::OOB
        } else {
            SendFlags::empty()
        };
        let fds = [carried.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(to, &[IoSlice::new(bytes)], &mut control, flags)
    }

    #[test]
    fn nobody_waits_on_a_listener_that_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let waiting = [(); 3].map(|()| UnixStream::connect(&path).unwrap());
        close_listener(&listener);
        for mut stranger in waiting {
            assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
        }
        assert!(UnixStream::connect(&path).is_err());
    }

    #[tokio::test]
    async fn a_close_that_waits_is_interrupted_and_the_caller_does_not_wait() {
        start().unwrap();
        let (ours, stranger) = UnixStream::pair().unwrap();
        let (carried, _unread) = lingering();
        send_with(&stranger, b"x", carried, false).unwrap();
        let queue = QUEUE.get().unwrap();
        let before = queue.lock().closed;
        close(ours.into());
        let state = queue.lock();
        // This waits for an hour unless the close is interrupted.
        drop(
            queue
                .changed
                .wait_while(state, |state| state.closed == before),
        );
    }
}
