// SPDX-License-Identifier: GPL-3.0-or-later
//! A connected Unix socket that wakes its process for what has arrived, and for nothing else.
//!
//! The runtime's own type always asks to be woken for room to write as well. A Unix socket has new
//! room whenever the other side reads, so each message sent would cost a useless wake-up; that is a
//! third of what a ping costs. This type waits for room only when there is none.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_oobinline;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, Shutdown, recv, recvmsg, send, shutdown,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::closing;
use crate::descriptor::watch;
use crate::passing;

/// The socket. It belongs to the runtime in which it was made.
#[derive(Debug)]
pub struct Socket {
    fd: AsyncFd<Arc<OwnedFd>>,
    /// The other side, if it is a stranger. It comes after `fd`, so that it is dropped after it.
    stranger: Option<Stranger>,
}

/// A stranger's socket, which is closed by `closing` when nothing else here has it.
#[derive(Debug)]
struct Stranger {
    fd: Option<Arc<OwnedFd>>,
    /// Whether descriptors may come with what it sends.
    may_pass: bool,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(socket) = self.fd.take().and_then(Arc::into_inner) {
            closing::close(socket);
        }
    }
}

impl Socket {
    /// Takes over a connected socket, which must be non-blocking, and whose other side is trusted.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Socket {
            fd: watch(Arc::new(fd.into()), Interest::READABLE)?,
            stranger: None,
        })
    }

    /// Takes over a connected socket, which must be non-blocking, and whose other side is a
    /// stranger: it may send descriptors whose close takes long (`closing`).
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn of_stranger(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = Arc::new(fd.into());
        // First, so that it is closed as a stranger's if anything fails here.
        let stranger = Stranger {
            may_pass: !passing::are_refused(&fd),
            fd: Some(Arc::clone(&fd)),
        };
        // Otherwise urgent data would be discarded without being read, and its descriptors closed.
        set_socket_oobinline(&fd, true)?;
        Ok(Socket {
            fd: watch(fd, Interest::READABLE)?,
            stranger: Some(stranger),
        })
    }

    /// Appends what has arrived to `into`, as much as it has room for without growing; waits until
    /// there is something. 0 is the end of the connection. Cancel safe. Only one task may wait at a
    /// time: a second one would replace the first.
    ///
    /// # Errors
    /// What the system says about the connection; [`io::ErrorKind::InvalidData`] if a stranger has
    /// sent a descriptor.
    pub async fn read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            // Only one task reads, so it need not queue with others.
            let mut ready = poll_fn(|cx| self.fd.poll_read_ready(cx)).await?;
            let room = into.capacity() - into.len();
            match self.receive(into) {
                Ok(count) => {
                    // Less than there was room for, so nothing is left; this saves a system call.
                    if count < room {
                        ready.clear_ready();
                    }
                    return Ok(count);
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(Errno::BADMSG) => {
                    let why = "the other side sent a file descriptor, which is not allowed";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is there, without waiting. If a descriptor comes with the message of a stranger,
    /// this does not read the message, since that would close the descriptor. It returns
    /// [`Errno::BADMSG`], and the connection ends.
    fn receive(&self, into: &mut Vec<u8>) -> Result<usize, Errno> {
        if self.stranger.as_ref().is_none_or(|it| !it.may_pass) {
            return Ok(recv(&self.fd, spare_capacity(into), RecvFlags::empty())?.1);
        }
        let start = into.len();
        into.resize(into.capacity(), 0);
        let received = receive_plain(self.fd.get_ref(), &mut into[start..]);
        into.truncate(start + received.unwrap_or(0));
        received
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

    /// Which of these flags are set now; `None` if the system does not say.
    fn state(&self, asked: PollFlags) -> Option<PollFlags> {
        let mut polled = [PollFd::new(self.fd.get_ref(), asked)];
        poll(&mut polled, Some(&Timespec::default())).ok()?;
        let [polled] = polled;
        Some(polled.revents())
    }

    /// Waits until the other side has stopped both sending and reading. Cancel safe; any number of
    /// tasks may wait.
    pub async fn hung_up(&self) {
        // The system reports a hang-up whatever is watched. We do not watch for room to write, so
        // it does not report that.
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

/// Looks first whether a descriptor comes with what has arrived, and then reads only what it has
/// looked at.
fn receive_plain(socket: &OwnedFd, into: &mut [u8]) -> Result<usize, Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let mut room = [IoSliceMut::new(into)];
    let seen = recvmsg(socket, &mut room, &mut control, RecvFlags::PEEK)?;
    if seen.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::BADMSG);
    }
    let (_, count) = recv(socket, &mut into[..seen.bytes], RecvFlags::empty())?;
    Ok(count)
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
    async fn what_a_stranger_sends_is_read_but_for_what_a_descriptor_comes_with() {
        for urgent in [false, true] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let ours = Socket::of_stranger(ours).unwrap();
            let mut bytes = Vec::with_capacity(100);
            send(&theirs, b"first", SendFlags::empty()).unwrap();
            assert_eq!(ours.read(&mut bytes).await.unwrap(), 5);
            assert_eq!(bytes, b"first");
            let (carried, other) = UnixStream::pair().unwrap();
            closing::tests::send_with(&theirs, b"x", carried, urgent).unwrap();
            let error = ours.read(&mut bytes).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(bytes, b"first");
            let ended = recv(&other, &mut [0; 1][..], RecvFlags::DONTWAIT);
            assert_eq!(
                ended.unwrap_err(),
                Errno::AGAIN,
                "the descriptor is not closed"
            );
        }
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
