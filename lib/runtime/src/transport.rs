// SPDX-License-Identifier: GPL-3.0-or-later
//! Local sockets that carry messages: listening, connecting, and the two halves of a connection.
//!
//! ```text
//!   Sender::send --bytes--> [writer task] --> socket --> Receiver::next
//!   Sender::put, Sender::flush -----------------^
//! ```
//!
//! Sending never waits. To send several messages in one turn, call `put` for each and `flush` once:
//! `flush` writes immediately, and the writer task writes only what the socket has no room for.
//! Unread bytes are kept up to a limit; beyond it the connection is closed, so that a reader that
//! has stopped costs a known amount of memory and nobody's time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use rustix::net::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tripe_admin::line::{Line, LineBuffer};

use crate::socket::Socket;
use connect_ipc::frame::{self, EncodedEvent, FrameError, MAX_FRAME};

/// Unread bytes after which a helper's connection is closed: 64 MiB. A full table of 50,000 peers
/// takes 20; a helper further behind than that is stuck, and a new one catches up faster.
pub const HELPER_BACKLOG: usize = 64 * 1024 * 1024;

/// Unread bytes after which an operator's connection is closed: the status of 10,000 peers, twice.
pub const OPERATOR_BACKLOG: usize = 8 * 1024 * 1024;

/// How long the other side may take over its hello. It sends it at once, so it is stuck when it
/// takes longer.
pub const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// How much room for queued bytes is kept between two turns: what a turn of a busy service takes.
const KEPT: usize = 64 * 1024;

/// How often a half-closed connection is checked: rarely enough to cost nothing, often enough that
/// requests of a caller that has left are not kept for long.
const LOOK: Duration = Duration::from_secs(1);

/// The longest path of a Unix socket on Linux, from the size of `sun_path` less its NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Why a socket could not be created or reached.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path does not fit into a socket address.
    #[error(
        "the socket path {path} has {} bytes, but {MAX_SOCKET_PATH} are the most: choose a shorter \
         directory with --runtime-dir, or a shorter symbolic link to it", path.as_os_str().len()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A process answers on this socket already.
    #[error(
        "{path} is served by another process: stop that one first, or choose another --runtime-dir"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The path exists and is not a socket.
    #[error("{path} exists and is not a socket: move it away")]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The process at the other end of a connection, as the kernel reports it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Client {
    /// The effective user, if the system reports it.
    pub uid: Option<u32>,
    /// The process, if the system reports it.
    pub pid: Option<i32>,
}

/// For the log and for observers.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<i64>| value.map_or_else(|| "?".to_owned(), |v| v.to_string());
        let (uid, pid) = (self.uid.map(i64::from), self.pid.map(i64::from));
        write!(f, "uid {} pid {}", number(uid), number(pid))
    }
}

/// Listens on `path`, with file permissions `mode`. A socket left over from a process that has
/// ended is replaced; one that another process serves is not.
///
/// # Errors
/// [`SocketError`], naming the path.
pub async fn listen(path: &Path, mode: u32) -> Result<Listener, SocketError> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let owned = || path.to_owned();
    check_length(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: owned() });
        }
        Ok(_) if connect(path).await.is_ok() => return Err(SocketError::InUse { path: owned() }),
        Ok(_) => {
            let action = "remove the left-over socket";
            std::fs::remove_file(path).map_err(refused(action, path))?;
        }
        Err(_) => {}
    }
    let failed = || refused("listen on", path);
    let name = path.to_fs_name::<GenericFilePath>().map_err(failed())?;
    let options = ListenerOptions::new().name(name).mode(mode);
    let listener = options.create_tokio().map_err(failed())?;
    // The socket was made with what the umask left of the mode, which was never too much.
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(failed())?;
    Ok(listener)
}

/// The system would say no more than that the argument is invalid.
fn check_length(path: &Path) -> Result<(), SocketError> {
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(());
    }
    let path = path.to_owned();
    Err(SocketError::PathTooLong { path })
}

/// Says of an error of the system what was tried.
fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        action,
        path,
        source,
    }
}

/// Accepts the next connection.
///
/// # Errors
/// What the system says; the caller should wait a little and retry.
pub async fn accept(listener: &Listener) -> io::Result<(Stream, Client)> {
    let stream = listener.accept().await?;
    let client = other_side(&stream);
    Ok((stream, client))
}

/// The process at the other side. Of a socket to which we have connected it is the one that had it
/// listen, so a service manager if the socket was handed over.
#[must_use]
pub fn other_side(stream: &Stream) -> Client {
    let credentials = stream.peer_creds().map(|credentials| Client {
        uid: credentials.euid(),
        pid: credentials.pid(),
    });
    credentials.unwrap_or_default()
}

/// Connects to the process that listens on `path`.
///
/// # Errors
/// [`SocketError`], naming the path.
pub async fn connect(path: &Path) -> Result<Stream, SocketError> {
    check_length(path)?;
    let failed = || refused("connect to", path);
    let name = path.to_fs_name::<GenericFilePath>().map_err(failed())?;
    Stream::connect(name).await.map_err(failed())
}

/// Makes the two halves of a connection. `backlog` is the number of unread bytes after which the
/// connection is closed.
///
/// # Errors
/// [`ReceiveError::Io`] if the system is out of descriptors or memory.
pub fn split(stream: Stream, backlog: usize) -> Result<(Receiver, Sender), ReceiveError> {
    let Stream::UdSocket(stream) = stream;
    let socket = UnixStream::from(stream)
        .into_std()
        .and_then(Socket::new)
        .map(Arc::new)?;
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue {
            bytes: Vec::new(),
            writing: false,
            state: QueueState::Open,
        }),
        wake: Notify::new(),
        backlog,
    });
    tokio::spawn(write_out(Arc::clone(&socket), Arc::clone(&shared)));
    let receiver = Receiver {
        socket: Arc::clone(&socket),
        lines: LineBuffer::new(MAX_FRAME),
    };
    let handle = Arc::new(Handle { shared, socket });
    Ok((receiver, Sender { handle }))
}

/// Why a message could not be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The message is malformed; the connection can continue.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<Socket>,
    lines: LineBuffer,
}

impl Receiver {
    /// The next message; `None` at the end of the connection. Cancel safe. Empty lines are
    /// ignored, for people who type.
    ///
    /// # Errors
    /// [`ReceiveError::Frame`] for a malformed message, after which the connection can continue,
    /// and [`ReceiveError::Io`] when it cannot.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ReceiveError> {
        loop {
            if let Some(message) = self.ready()? {
                return Ok(Some(message));
            }
            if self.socket.read(self.lines.tail()).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Waits until the other side has stopped reading as well. After the end of what it sends it
    /// may still be reading: a pipe of requests into a tool closes that direction first. The system
    /// has no event for this alone, so it is checked now and then.
    pub async fn hung_up(&self) {
        while !self.socket.is_hung_up() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A message that has arrived already.
    ///
    /// # Errors
    /// As [`Receiver::next`].
    pub fn ready<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ReceiveError> {
        while let Some(line) = self.lines.next_line() {
            match line {
                Line::Text(text) if text.trim().is_empty() => {}
                Line::Text(text) => return Ok(Some(frame::decode(&text)?)),
                Line::TooLong { start, length } => {
                    return Err(FrameError::TooLong { start, length }.into());
                }
            }
        }
        Ok(None)
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection is closed.
    #[error("the other side is gone")]
    Gone,
    /// The other side has not read for too long; this closes the connection.
    #[error("the other side has not read {0} bytes; closing the connection")]
    Stuck(usize),
}

/// The sending half; clones share the connection, and it closes with the last of them, after
/// everything was written.
#[derive(Clone, Debug)]
pub struct Sender {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    backlog: usize,
}

#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// Whether the writer task has taken bytes that it has not yet written.
    writing: bool,
    state: QueueState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum QueueState {
    Open,
    /// Nothing more will be queued; write what is there, then close.
    Finishing,
    /// Broken or closed.
    Dead,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that holds the lock can panic half-way, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Sends one message. Never waits.
    ///
    /// # Errors
    /// [`SendError`]; after [`SendError::Gone`] and [`SendError::Stuck`] the connection is over.
    pub fn send<M: Serialize>(&self, message: &M) -> Result<(), SendError> {
        self.put(message)?;
        self.handle.shared.wake.notify_one();
        Ok(())
    }

    /// Queues one message, to be sent with the next [`Sender::flush`] at the latest. Never waits.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn put<M: Serialize>(&self, message: &M) -> Result<(), SendError> {
        self.queue(|bytes| frame::encode(message, bytes))
    }

    /// Queues an event for the request with number `id`, to be sent with the next [`Sender::flush`]
    /// at the latest. Never waits.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn put_event(&self, id: u64, event: &EncodedEvent) -> Result<(), SendError> {
        self.queue(|bytes| event.append(id, bytes))
    }

    /// Writes what is queued as far as the socket has room; the writer task writes the rest. Never
    /// waits.
    pub fn flush(&self) {
        let Handle { shared, socket } = &*self.handle;
        let mut queue = shared.lock();
        if queue.bytes.is_empty() {
            return;
        }
        // What the writer task has taken must be written first.
        if queue.state == QueueState::Open && !queue.writing {
            match socket.try_write(&queue.bytes) {
                Ok(count) if count == queue.bytes.len() => {
                    queue.bytes.clear();
                    // The memory that one busy turn needed is not kept forever.
                    queue.bytes.shrink_to(KEPT);
                    return;
                }
                Ok(count) => drop(queue.bytes.drain(..count)),
                // No room, or the connection is over: the writer task handles both.
                Err(_) => {}
            }
        }
        shared.wake.notify_one();
    }

    fn queue(
        &self,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), SendError> {
        let shared = &self.handle.shared;
        let mut queue = shared.lock();
        if queue.state == QueueState::Dead {
            return Err(SendError::Gone);
        }
        append(&mut queue.bytes)?;
        if queue.bytes.len() > shared.backlog {
            let unread = queue.bytes.len();
            queue.state = QueueState::Dead;
            queue.bytes = Vec::new();
            shared.wake.notify_one();
            return Err(SendError::Stuck(unread));
        }
        Ok(())
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.handle.shared.lock().bytes.len()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        if queue.state == QueueState::Open {
            queue.state = QueueState::Finishing;
        }
        drop(queue);
        self.shared.wake.notify_one();
    }
}

async fn write_out(socket: Arc<Socket>, shared: Arc<Shared>) {
    let ending = write_all(&socket, &shared).await;
    shared.lock().state = QueueState::Dead;
    // Closing both directions ends our own reader as well.
    socket.shutdown(ending);
}

/// Writes what is queued until the connection is over; returns which directions to close.
async fn write_all(socket: &Socket, shared: &Shared) -> Shutdown {
    loop {
        let (bytes, state) = {
            let mut queue = shared.lock();
            queue.writing = !queue.bytes.is_empty();
            (std::mem::take(&mut queue.bytes), queue.state)
        };
        match state {
            QueueState::Dead => return Shutdown::Both,
            QueueState::Finishing if bytes.is_empty() => return Shutdown::Write,
            QueueState::Open if bytes.is_empty() => {
                shared.wake.notified().await;
                continue;
            }
            QueueState::Open | QueueState::Finishing => {}
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match socket.try_write(rest) {
                Ok(count @ 1..) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let room = tokio::select! {
                        room = socket.writable() => room.is_ok(),
                        () = cut_off(shared) => false,
                    };
                    if !room {
                        return Shutdown::Both;
                    }
                }
                Ok(0) | Err(_) => return Shutdown::Both,
            }
        }
    }
}

/// Waits until the connection is closed while a write is stuck.
async fn cut_off(shared: &Shared) {
    while shared.lock().state != QueueState::Dead {
        shared.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::{FromScripts, ToScripts};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn pair(backlog: usize) -> (Stream, Receiver, Sender, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = listen(&path, 0o600).await.unwrap();
        let there = connect(&path).await.unwrap();
        let (here, client) = accept(&listener).await.unwrap();
        assert_eq!(client.uid, Some(rustix::process::geteuid().as_raw()));
        let (receiver, sender) = split(here, backlog).unwrap();
        (there, receiver, sender, dir)
    }

    #[tokio::test]
    async fn messages_cross_in_order_and_the_end_is_seen() {
        let (there, mut receiver, sender, _dir) = pair(HELPER_BACKLOG).await;
        let (mut their_receiver, their_sender) = split(there, HELPER_BACKLOG).unwrap();
        their_sender.send(&ToScripts::Ready {}).unwrap();
        their_sender.send(&ToScripts::Error("x".into())).unwrap();
        assert_eq!(receiver.next().await.unwrap(), Some(ToScripts::Ready {}));
        assert_eq!(
            receiver.next().await.unwrap(),
            Some(ToScripts::Error("x".into()))
        );
        drop(their_sender);
        assert_eq!(receiver.next::<ToScripts>().await.unwrap(), None);
        sender
            .send(&FromScripts::Error("last words".into()))
            .unwrap();
        drop(sender);
        let last = their_receiver.next::<FromScripts>().await.unwrap();
        assert_eq!(last, Some(FromScripts::Error("last words".into())));
        assert_eq!(their_receiver.next::<FromScripts>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_flushed_is_written_on_the_spot_and_in_order_with_the_rest() {
        let (there, _receiver, sender, _dir) = pair(HELPER_BACKLOG).await;
        let (mut reader, _keep) = split(there, HELPER_BACKLOG).unwrap();
        let number = |n: usize| FromScripts::Error(format!("{n:04000}"));
        sender.put(&number(0)).unwrap();
        assert!(sender.backlog() > 0, "not yet");
        sender.flush();
        assert_eq!(sender.backlog(), 0, "no task has run in between");
        // Far more than the socket has room for; some by the task, some by hand.
        let count = 500;
        for n in 1..count {
            if n % 3 == 0 {
                sender.send(&number(n)).unwrap();
                tokio::task::yield_now().await;
            } else {
                sender.put(&number(n)).unwrap();
                sender.flush();
            }
        }
        assert!(sender.backlog() > 0, "no room is left");
        for n in 0..count {
            assert_eq!(reader.next().await.unwrap(), Some(number(n)));
        }
        drop(sender);
        assert_eq!(reader.next::<FromScripts>().await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_sends_no_more_has_not_hung_up() {
        let (there, mut receiver, _sender, _dir) = pair(OPERATOR_BACKLOG).await;
        let Stream::UdSocket(socket) = &there;
        rustix::net::shutdown(socket, Shutdown::Write).unwrap();
        assert_eq!(receiver.next::<ToScripts>().await.unwrap(), None);
        let waiting = tokio::time::timeout(10 * LOOK, receiver.hung_up());
        waiting.await.unwrap_err();
        drop(there);
        receiver.hung_up().await;
    }

    #[tokio::test]
    async fn garbage_and_oversize_cost_only_themselves() {
        let (mut there, mut receiver, _sender, _dir) = pair(HELPER_BACKLOG).await;
        let writing = async {
            there.write_all(b"garbage\n\n").await.unwrap();
            there.write_all(&vec![b'x'; 3 * MAX_FRAME]).await.unwrap();
            there.write_all(b"\n{\"ready\":{}}\n").await.unwrap();
        };
        let reading = async {
            let garbage = receiver.next::<ToScripts>().await.unwrap_err();
            assert!(matches!(
                garbage,
                ReceiveError::Frame(FrameError::Malformed { .. })
            ));
            let oversize = receiver.next::<ToScripts>().await.unwrap_err();
            let ReceiveError::Frame(FrameError::TooLong { length, .. }) = oversize else {
                panic!("{oversize}");
            };
            assert_eq!(length, 3 * MAX_FRAME);
            assert_eq!(receiver.next().await.unwrap(), Some(ToScripts::Ready {}));
        };
        tokio::join!(writing, reading);
    }

    #[tokio::test]
    async fn a_reader_that_stopped_is_cut_off_and_memory_stays_bounded() {
        let (mut there, _receiver, sender, _dir) = pair(100_000).await;
        let message = FromScripts::Error("x".repeat(1000));
        let error = loop {
            if let Err(error) = sender.send(&message) {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(error, SendError::Stuck(_)), "{error}");
        assert!(matches!(sender.send(&message), Err(SendError::Gone)));
        let mut rest = Vec::new();
        there.read_to_end(&mut rest).await.unwrap();
    }

    #[tokio::test]
    async fn only_a_socket_nobody_serves_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let first = listen(&path, 0o600).await.unwrap();
        assert!(matches!(
            listen(&path, 0o600).await,
            Err(SocketError::InUse { .. })
        ));
        drop(first);
        // A socket file that nobody listens on any more, as a killed process leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        listen(&path, 0o600).await.unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(matches!(
            listen(&file, 0o600).await,
            Err(SocketError::NoSocket { .. })
        ));
        let long = dir.path().join("x".repeat(120));
        assert!(matches!(
            listen(&long, 0o600).await,
            Err(SocketError::PathTooLong { .. })
        ));
    }
}
