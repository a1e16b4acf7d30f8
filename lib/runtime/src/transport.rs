// SPDX-License-Identifier: GPL-3.0-or-later
//! Local sockets that carry messages: listening, connecting, and the two halves of a connection.
//!
//! ```text
//!   Sender --> socket --> Receiver::next
//! ```
//!
//! Sending never waits; `sender.rs` says how.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use rustix::io::Errno;
use rustix::net::{Shutdown, getpeername};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tripe_admin::line::{Line, LineBuffer};

pub use crate::client::Client;
use crate::passing;
pub use crate::sender::{Account, LOW, SendError, Sender, Share};
use crate::socket::Socket;
use connect_ipc::foreign::Foreign;
use connect_ipc::frame::{self, FrameError, MAX_FRAME};

/// Unread bytes after which a helper's connection is closed: 64 MiB. A full table of 50,000 peers
/// takes 20; a helper further behind than that is stuck, and a new one catches up faster.
pub const HELPER_BACKLOG: usize = 64 * 1024 * 1024;

/// Unread bytes after which a client closes its connection to core, in our tools and in tests: the
/// status of 10,000 peers, twice.
pub const CLIENT_BACKLOG: usize = 8 * 1024 * 1024;

/// How long the other side may take to send its hello. It sends it at once, so it is stuck if that
/// takes longer.
pub const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// The pause before connecting again to a socket whose queue of waiting connections is full.
const FULL_PAUSE: Duration = Duration::from_millis(20);

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
        "a connect service runs already: {} serves {path}; stop that one first, or, if it serves \
         another server, choose another --runtime-dir", process(*server)
    )]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Who serves it.
        server: Client,
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
        Ok(_) => {
            if let Ok(stream) = connect(path).await {
                return Err(SocketError::InUse {
                    path: owned(),
                    server: other_side(&stream),
                });
            }
            let action = "remove the left-over socket";
            std::fs::remove_file(path).map_err(refused(action, path))?;
        }
        Err(_) => {}
    }
    let failed = || refused("listen on", path);
    let name = path.to_fs_name::<GenericFilePath>().map_err(failed())?;
    // With mode 0 nobody can connect, and so send a descriptor, before the socket refuses them.
    let options = ListenerOptions::new().name(name).mode(0);
    let listener = options.create_tokio().map_err(failed())?;
    let Listener::UdSocket(socket) = &listener;
    passing::refuse(socket).map_err(failed())?;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(failed())?;
    Ok(listener)
}

/// How people find a process.
fn process(client: Client) -> String {
    match client.pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
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

/// Accepts the next connection, as one of a stranger.
///
/// # Errors
/// What the system says; the caller should wait a little and retry.
pub async fn accept(listener: &Listener) -> io::Result<(Socket, Client)> {
    let stream = listener.accept().await?;
    let client = other_side(&stream);
    let Stream::UdSocket(stream) = stream;
    let socket = Socket::of_stranger(UnixStream::from(stream).into_std()?)?;
    Ok((socket, client))
}

/// The process at the other side. Of a socket to which we have connected it is the process that
/// called listen(2), so a service manager if the socket was handed over.
#[must_use]
pub fn other_side(stream: &Stream) -> Client {
    let credentials = stream.peer_creds().map(|credentials| Client {
        uid: credentials.euid(),
        pid: credentials.pid(),
    });
    credentials.unwrap_or_default()
}

/// Connects to the process that listens on `path`. While the queue of waiting connections is full,
/// this tries again, for [`HELLO_LIMIT`] at most.
///
/// # Errors
/// [`SocketError`], naming the path.
pub async fn connect(path: &Path) -> Result<Stream, SocketError> {
    check_length(path)?;
    let failed = || refused("connect to", path);
    let until = Instant::now() + HELLO_LIMIT;
    loop {
        let name = path.to_fs_name::<GenericFilePath>().map_err(failed())?;
        let stream = Stream::connect(name).await.map_err(failed())?;
        // The library takes "the queue of waiting connections is full" for a connection that is
        // still being made.
        let Stream::UdSocket(socket) = &stream;
        match getpeername(socket) {
            Err(Errno::NOTCONN) if Instant::now() < until => tokio::time::sleep(FULL_PAUSE).await,
            Err(Errno::NOTCONN) => return Err(failed()(Errno::AGAIN.into())),
            _ => return Ok(stream),
        }
    }
}

/// Ends a connection that was just accepted, with these last words as far as its socket has room.
pub fn dismiss(socket: Socket, words: &[u8]) {
    // It may have gone already.
    let _ = socket.try_write(words);
    drop(socket);
}

/// What one connection may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Unread bytes after which it is closed.
    pub backlog: usize,
    /// Where its unread bytes count beside those of others.
    pub account: Option<Share>,
    /// The longest line that is read. A longer one is discarded as it comes.
    pub line: usize,
}

impl Limits {
    /// The general limit of a line, `backlog` as the limit of unread bytes, and no other limits.
    #[must_use]
    pub const fn of_backlog(backlog: usize) -> Self {
        Limits {
            backlog,
            account: None,
            line: MAX_FRAME,
        }
    }
}

/// Makes the two halves of a connection that we have made. `backlog` is the number of unread bytes
/// after which it is closed.
///
/// # Errors
/// [`ReceiveError::Io`] if the system is out of descriptors or memory.
pub fn split(stream: Stream, backlog: usize) -> Result<(Receiver, Sender), ReceiveError> {
    let Stream::UdSocket(stream) = stream;
    let socket = UnixStream::from(stream).into_std().and_then(Socket::new)?;
    Ok(split_within(socket, Limits::of_backlog(backlog)))
}

/// Makes the two halves of a connection that has these limits.
#[must_use]
pub fn split_within(socket: Socket, limits: Limits) -> (Receiver, Sender) {
    let socket = Arc::new(socket);
    let receiver = Receiver {
        socket: Arc::clone(&socket),
        lines: LineBuffer::new(limits.line),
        length: 0,
    };
    let sender = Sender::new(socket, limits.backlog, limits.account);
    (receiver, sender)
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
    /// How long the last line was.
    length: usize,
}

impl Receiver {
    /// From now on lines may have `line` bytes.
    pub const fn set_limit(&mut self, line: usize) {
        self.lines.set_limit(line);
    }

    /// How many bytes the last message had.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The next message; `None` at the end of the connection. Cancel safe. An empty line is
    /// malformed.
    ///
    /// # Errors
    /// [`ReceiveError::Frame`] for a malformed message, after which the connection can continue,
    /// and [`ReceiveError::Io`] when it cannot.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ReceiveError> {
        loop {
            if let Some(message) = self.ready()? {
                return Ok(Some(message));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// As [`Receiver::next`], but a line that is too long is an error as soon as that is certain,
    /// and not at its end, which may never come.
    ///
    /// # Errors
    /// As [`Receiver::next`].
    pub async fn next_bounded<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ReceiveError> {
        loop {
            if let Some(message) = self.ready()? {
                return Ok(Some(message));
            }
            if let Some(Line::TooLong { start, length }) = self.lines.too_long() {
                let start = Foreign::new(&start);
                return Err(FrameError::TooLong { start, length }.into());
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads what arrives next. Says whether there was anything before the end.
    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.socket.read(self.lines.tail()).await? > 0)
    }

    /// Whether something has arrived that was not read, or the end of the connection.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.socket.has_unread()
    }

    /// Ends the connection in both directions. What the socket has taken can still be read there.
    pub fn close(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// Waits until the other side has stopped reading as well. After the end of what it sends it
    /// may still be reading: a pipe of requests into a tool closes that direction first. Cancel
    /// safe.
    pub async fn hung_up(&self) {
        self.socket.hung_up().await;
    }

    /// A message that has arrived already.
    ///
    /// # Errors
    /// As [`Receiver::next`].
    pub fn ready<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ReceiveError> {
        match self.lines.next_line() {
            None => Ok(None),
            // An empty line too: none is read without being counted.
            Some(Line::Text(text)) => {
                self.length = text.len();
                Ok(Some(frame::decode(&text)?))
            }
            Some(Line::TooLong { start, length }) => {
                let start = Foreign::new(&start);
                Err(FrameError::TooLong { start, length }.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connect_ipc::scripts::{FromScripts, ToScripts};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn pair(backlog: usize) -> (Stream, Receiver, Sender, tempfile::TempDir) {
        let limits = Limits {
            backlog,
            account: None,
            line: MAX_FRAME,
        };
        pair_within(limits).await
    }

    async fn pair_within(limits: Limits) -> (Stream, Receiver, Sender, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = listen(&path, 0o600).await.unwrap();
        let there = connect(&path).await.unwrap();
        let (here, client) = accept(&listener).await.unwrap();
        assert_eq!(client.uid, Some(rustix::process::geteuid().as_raw()));
        let (receiver, sender) = split_within(here, limits);
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
    async fn an_empty_line_is_malformed_so_that_it_counts() {
        let (mut there, mut receiver, _sender, _dir) = pair(HELPER_BACKLOG).await;
        there.write_all(b"\n  \n").await.unwrap();
        for _ in 0..2 {
            let error = receiver.next::<ToScripts>().await.unwrap_err();
            assert!(
                matches!(error, ReceiveError::Frame(FrameError::Malformed { .. })),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn who_finds_as_many_waiting_as_may_tries_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let first = connect(&path).await.unwrap();
        let second = tokio::spawn({
            let path = path.clone();
            async move { connect(&path).await }
        });
        // It has tried once, and its pause is over when the place is free.
        tokio::time::sleep(FULL_PAUSE).await;
        let (_here, _) = listener.accept().unwrap();
        for stream in [first, second.await.unwrap().unwrap()] {
            let Stream::UdSocket(socket) = &stream;
            assert!(getpeername(socket).is_ok());
        }
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
        let (there, mut receiver, _sender, _dir) = pair(CLIENT_BACKLOG).await;
        let Stream::UdSocket(socket) = &there;
        rustix::net::shutdown(socket, Shutdown::Write).unwrap();
        assert_eq!(receiver.next::<ToScripts>().await.unwrap(), None);
        let waiting = tokio::time::timeout(HELLO_LIMIT, receiver.hung_up());
        waiting.await.unwrap_err();
        drop(there);
        receiver.hung_up().await;
    }

    #[tokio::test]
    async fn a_dismissed_client_is_told_why_whatever_it_has_sent() {
        for says in ["", "hello\n"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s.sock");
            let listener = listen(&path, 0o600).await.unwrap();
            let mut there = connect(&path).await.unwrap();
            there.write_all(says.as_bytes()).await.unwrap();
            let (here, _) = accept(&listener).await.unwrap();
            dismiss(here, b"no place\n");
            let mut heard = [0; 9];
            there.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"no place\n");
            assert_eq!(there.read(&mut heard).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn of_malformed_and_oversize_messages_only_themselves_are_lost() {
        let (mut there, mut receiver, _sender, _dir) = pair(HELPER_BACKLOG).await;
        let writing = async {
            there.write_all(b"garbage\n").await.unwrap();
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

    /// A connection of a user that shares an account.
    async fn member(
        account: &Arc<Account>,
        user: u32,
    ) -> (Stream, Receiver, Sender, tempfile::TempDir) {
        let client = Client {
            uid: Some(user),
            pid: None,
        };
        let account = Some(Share {
            account: Arc::clone(account),
            client,
        });
        pair_within(Limits {
            backlog: 2 * 1024 * 1024,
            account,
            line: MAX_FRAME,
        })
        .await
    }

    #[tokio::test]
    async fn the_user_who_leaves_most_unread_loses_a_connection_and_users_who_read_do_not() {
        let account = Arc::new(Account::new(1024 * 1024));
        let (_there1, _receiver1, less, _dir1) = member(&account, 1).await;
        let (_there2, _receiver2, most, _dir2) = member(&account, 1).await;
        let (reader, _receiver3, modest, _dir3) = member(&account, 2).await;
        let message = |length| FromScripts::Error("x".repeat(length));
        less.put(&message(500_000)).unwrap();
        less.flush();
        most.put(&message(800_000)).unwrap();
        assert!(account.unread() < 500_000, "not flushed yet");
        // The socket holds some of each, so the two of them leave the account nearly full.
        most.flush();
        let others = less.backlog() + most.backlog();
        assert_eq!(account.unread(), others);
        assert_eq!(account.relieve(), []);
        // This fills it, but what was asked for last is not at fault.
        modest.put(&message(800_000)).unwrap();
        modest.flush();
        assert!(account.unread() > account.limit());
        let closed: Vec<Option<u32>> = account.relieve().iter().map(|it| it.uid).collect();
        assert_eq!(closed, [Some(1)]);
        let error = most.put(&message(1)).unwrap_err();
        assert!(matches!(error, SendError::Gone), "{error}");
        let left = less.backlog();
        less.put(&message(1)).unwrap();
        let (mut reader, _keep) = split(reader, HELPER_BACKLOG).unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(message(800_000)));
        assert_eq!(account.unread(), left);
    }

    #[tokio::test]
    async fn what_the_socket_takes_at_once_is_not_unread() {
        let (there, _receiver, sender, _dir) = pair(100_000).await;
        let (mut reader, _keep) = split(there, HELPER_BACKLOG).unwrap();
        let message = FromScripts::Error("x".repeat(80_000));
        for _ in 0..20 {
            sender.put(&message).unwrap();
            sender.put(&message).unwrap();
            sender.flush();
            for _ in 0..2 {
                assert_eq!(reader.next().await.unwrap(), Some(message.clone()));
            }
        }
    }

    #[tokio::test]
    async fn it_is_told_when_little_is_unread_and_what_is_over_gives_everything_back() {
        let account = Arc::new(Account::new(usize::MAX));
        let (mut there, receiver, sender, _dir) = member(&account, 1).await;
        let message = FromScripts::Error("x".repeat(100_000));
        for _ in 0..20 {
            sender.put(&message).unwrap();
        }
        sender.flush();
        assert!(account.unread() > LOW);
        assert!(!sender.is_drained());
        let reading = async {
            let mut bytes = vec![0; 1_990_000];
            there.read_exact(&mut bytes).await.unwrap();
        };
        let (drained, ()) = tokio::join!(sender.drained(), reading);
        assert!(drained);
        assert!(account.unread() <= LOW);
        for _ in 0..20 {
            sender.put(&message).unwrap();
        }
        sender.flush();
        let (drained, ()) = tokio::join!(sender.drained(), async { receiver.close() });
        assert!(!drained);
        assert_eq!(account.unread(), 0);
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error_before_its_end() {
        let limits = Limits {
            backlog: HELPER_BACKLOG,
            account: None,
            line: 1000,
        };
        let (mut there, mut receiver, _sender, _dir) = pair_within(limits).await;
        there.write_all(b"{\"ready\":{}}\n").await.unwrap();
        let ready = receiver.next_bounded::<ToScripts>().await.unwrap();
        assert_eq!(ready, Some(ToScripts::Ready {}));
        assert_eq!(receiver.length(), 12);
        there.write_all(&[b'x'; 1001]).await.unwrap();
        let error = receiver.next_bounded::<ToScripts>().await.unwrap_err();
        let ReceiveError::Frame(FrameError::TooLong { length, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!(length, 1001);
    }

    #[tokio::test]
    async fn only_a_socket_nobody_serves_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let first = listen(&path, 0o600).await.unwrap();
        let error = listen(&path, 0o600).await.unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        let own = format!(": process {} serves ", std::process::id());
        assert!(error.to_string().contains(&own), "{error}");
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
