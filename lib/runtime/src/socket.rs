// SPDX-License-Identifier: GPL-3.0-or-later
//! A connected Unix socket that wakes its process for what has arrived, and for nothing else.
//!
//! The runtime's own type always asks to be woken for room to write as well. A Unix socket has new
//! room whenever the other side reads, so each message sent would cost a useless wake-up; that is a
//! third of what a ping costs. This type waits for room only when there is none.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// The socket. It belongs to the runtime in which it was made.
#[derive(Debug)]
pub struct Socket {
    fd: AsyncFd<OwnedFd>,
}

impl Socket {
    /// Takes over a connected socket, which must be non-blocking.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Socket {
            fd: watch(fd.into(), Interest::READABLE)?,
        })
    }

    /// Appends what has arrived to `into`, as much as it has room for without growing; waits until
    /// there is something. 0 is the end of the connection. Cancel safe. Only one task may wait at a
    /// time: a second one would replace the first.
    ///
    /// # Errors
    /// What the system says about the connection.
    pub async fn read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            // Only one task reads, so it need not queue with others.
            let mut ready = poll_fn(|cx| self.fd.poll_read_ready(cx)).await?;
            let room = into.capacity() - into.len();
            match recv(&self.fd, spare_capacity(into), RecvFlags::empty()) {
                Ok((_, count)) => {
                    // Less than there was room for, so nothing is left; this saves a system call.
                    if count < room {
                        ready.clear_ready();
                    }
                    return Ok(count);
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as there is room for, which may be part of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room; else what the system says.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there is room to write, or the connection has ended. Cancel safe.
    ///
    /// # Errors
    /// If the system is out of descriptors.
    pub async fn writable(&self) -> io::Result<()> {
        // A second descriptor of the same socket, since each can be watched once.
        let watched = watch(self.fd.get_ref().try_clone()?, Interest::WRITABLE)?;
        watched.writable().await?.retain_ready();
        Ok(())
    }

    /// Whether something has arrived that was not read, or the end of the connection.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.state(PollFlags::IN)
            .is_some_and(|state| !state.is_empty())
    }

    /// Whether the other side has stopped both sending and reading.
    #[must_use]
    pub fn is_hung_up(&self) -> bool {
        // The hang-up is reported whatever is asked for.
        let state = self.state(PollFlags::empty());
        state.is_none_or(|state| state.intersects(PollFlags::HUP | PollFlags::ERR))
    }

    /// Which of these is so now; `None` if the system does not say.
    fn state(&self, asked: PollFlags) -> Option<PollFlags> {
        let mut polled = [PollFd::new(self.fd.get_ref(), asked)];
        poll(&mut polled, Some(&Timespec::default())).ok()?;
        let [polled] = polled;
        Some(polled.revents())
    }

    /// Waits until the other side has stopped both sending and reading. Cancel safe; any number of
    /// tasks may wait.
    pub async fn hung_up(&self) {
        // That is when writing can only fail, which the system tells whatever is watched for; and
        // room for writing, which is not watched for, it does not tell.
        while !self.is_hung_up() {
            if self.fd.ready(Interest::WRITABLE).await.is_err() {
                return;
            }
        }
    }

    /// Closes one or both directions. That the other side may be gone already does not matter.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = shutdown(&self.fd, how);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Socket, Socket) {
        let (left, right) = UnixStream::pair().unwrap();
        let [left, right] = [left, right].map(|stream| {
            stream.set_nonblocking(true).unwrap();
            Socket::new(stream).unwrap()
        });
        (left, right)
    }

    #[tokio::test]
    async fn bytes_cross_whatever_room_there_is_and_the_end_is_seen() {
        let (left, right) = pair();
        assert_eq!(left.try_write(b"hello").unwrap(), 5);
        let mut small = Vec::with_capacity(3);
        assert_eq!(right.read(&mut small).await.unwrap(), 3);
        let mut large = Vec::with_capacity(100);
        assert_eq!(right.read(&mut large).await.unwrap(), 2);
        assert_eq!(
            (small.as_slice(), large.as_slice()),
            (&b"hel"[..], &b"lo"[..])
        );
        left.shutdown(Shutdown::Write);
        assert_eq!(right.read(&mut large).await.unwrap(), 0);
        assert_eq!(right.read(&mut large).await.unwrap(), 0, "and stays seen");
    }

    #[tokio::test]
    async fn a_full_socket_says_so_and_tells_when_there_is_room() {
        let (left, right) = pair();
        let block = [b'x'; 4096];
        let mut sent = 0;
        let full = loop {
            match left.try_write(&block) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let reading = async {
            let mut bytes = Vec::with_capacity(sent);
            while bytes.len() < sent {
                right.read(&mut bytes).await.unwrap();
            }
        };
        let writing = async {
            left.writable().await.unwrap();
            assert!(left.try_write(b"y").is_ok());
        };
        tokio::join!(reading, writing);
    }

    #[tokio::test]
    async fn a_hang_up_is_seen_and_a_closed_direction_is_none() {
        let (left, right) = pair();
        left.try_write(b"unread").unwrap();
        right.shutdown(Shutdown::Write);
        let mut end = Vec::with_capacity(1);
        assert_eq!(left.read(&mut end).await.unwrap(), 0);
        {
            let mut hung_up = std::pin::pin!(left.hung_up());
            let polled = poll_fn(|cx| std::task::Poll::Ready(hung_up.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            drop(right);
            hung_up.await;
        }
        left.hung_up().await;
    }

    #[tokio::test]
    async fn a_writer_learns_that_the_other_side_is_gone() {
        let (left, right) = pair();
        drop(right);
        left.writable().await.unwrap();
        let error = left.try_write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
