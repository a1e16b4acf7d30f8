// SPDX-License-Identifier: GPL-3.0-or-later
//! The connection to the tripe server as bytes: reading lines, writing batches, connecting again.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use connect_runtime::exit::{Exit, Fatal};
use connect_runtime::socket::Socket;
use tokio::net::UnixStream;
use tokio::time::sleep;
use tripe_admin::line::{LineBuffer, MAX_RECEIVED};

use connect_ipc::setup::ServerRun;

use crate::retry::Retry;

/// Unwritten bytes after which the server counts as stuck and core connects again: more
/// than 50,000 pings at once need.
const MAX_UNWRITTEN: usize = 16 * 1024 * 1024;

/// How often a connection is made if the server's socket is replaced meanwhile.
const CERTAIN_TRIES: u32 = 8;

/// What happened to the connection.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// It was made.
    Connected,
    /// Bytes arrived in [`AdminLink::lines`].
    Arrived,
    /// Bytes were written.
    Wrote,
    /// It has ended; the reason is a text for people.
    Lost(String),
}

/// The connection, present or to be made.
#[derive(Debug)]
pub(crate) struct AdminLink {
    path: PathBuf,
    stream: Option<Socket>,
    /// Which server the connection was last made to.
    run: Option<ServerRun>,
    /// Lines received.
    pub lines: LineBuffer,
    output: Vec<u8>,
    written: usize,
    retry: Retry,
    next_try: Monotonic,
}

impl AdminLink {
    /// A connection that is still to be made, from the next [`AdminLink::event`] on.
    #[must_use]
    pub(crate) fn new(path: &Path) -> Self {
        AdminLink {
            path: path.to_owned(),
            stream: None,
            run: None,
            lines: LineBuffer::new(MAX_RECEIVED),
            output: Vec::new(),
            written: 0,
            retry: Retry::new(),
            next_try: clock::now(),
        }
    }

    /// Connects for the first time.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        let (stream, run) = open(&self.path, || crate::server_run::at(&self.path)).await?;
        self.stream = Some(stream);
        self.retry.connected(clock::now());
        self.run = run;
        Ok(())
    }

    /// Whether there is a connection.
    #[must_use]
    pub(crate) const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Which server the connection was last made to, if that is certain.
    #[must_use]
    pub(crate) const fn run(&self) -> Option<ServerRun> {
        self.run
    }

    /// The buffer of lines to be written.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        &mut self.output
    }

    /// Waits for the next thing to happen. Cancel safe.
    pub(crate) async fn event(&mut self) -> LinkEvent {
        let Some(stream) = &self.stream else {
            sleep(self.next_try.since(clock::now())).await;
            return self.reconnect().await;
        };
        let unwritten = self.output.get(self.written..).unwrap_or_default();
        if unwritten.len() > MAX_UNWRITTEN {
            return self.lose(format!("it has left {MAX_UNWRITTEN} bytes unread"));
        }
        // Written bytes are counted even if this future is dropped right after: try_write has no
        // await between the call and the count.
        let writing = async {
            if unwritten.is_empty() {
                return pending().await;
            }
            stream.writable().await
        };
        tokio::select! {
            read = stream.read(self.lines.tail()) => match read {
                Ok(0) => self.lose("it closed the connection".to_owned()),
                Ok(_) => LinkEvent::Arrived,
                Err(error) => self.lose(error.to_string()),
            },
            ready = writing => match ready {
                Ok(()) => self.flush(),
                Err(error) => self.lose(error.to_string()),
            },
        }
    }

    /// Writes what can be written without waiting.
    pub(crate) fn flush(&mut self) -> LinkEvent {
        let Some(stream) = &self.stream else {
            return LinkEvent::Wrote;
        };
        while let Some(rest @ [_, ..]) = self.output.get(self.written..) {
            match stream.try_write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.lose(error.to_string()),
            }
        }
        LinkEvent::Wrote
    }

    fn lose(&mut self, why: String) -> LinkEvent {
        self.stream = None;
        self.lines.clear();
        self.output.clear();
        self.written = 0;
        self.next_try = self.retry.lost(clock::now());
        LinkEvent::Lost(why)
    }

    async fn reconnect(&mut self) -> LinkEvent {
        match self.connect().await {
            Ok(()) => LinkEvent::Connected,
            Err(error) => self.lose(error.to_string()),
        }
    }
}

/// Connects to the server at `path`, and says to which one: `run` tells which is there.
///
/// If the file was replaced meanwhile, it is not known to which server a connection leads, and what
/// is made for its peers could not be told from what belongs to another server. So it is made
/// again, and only a file that is replaced each time leaves that open.
async fn open(
    path: &Path,
    mut run: impl FnMut() -> Option<ServerRun>,
) -> io::Result<(Socket, Option<ServerRun>)> {
    let mut before = run();
    let mut tries = 0;
    loop {
        let stream = UnixStream::connect(path).await?;
        let after = run();
        tries += 1;
        let certain = before.filter(|_| before == after);
        if certain.is_some() || tries == CERTAIN_TRIES {
            return Ok((Socket::new(stream.into_std()?)?, certain));
        }
        before = after;
    }
}

/// The error for a server that cannot be reached.
#[must_use]
pub(crate) fn server_unreachable(socket: &Path, reason: Option<&str>) -> Fatal {
    let error = anyhow::anyhow!(
        "cannot reach the tripe server at {}; is tripe running? Name its socket with -a or \
         TRIPESOCK: {}",
        socket.display(),
        reason.unwrap_or("it did not answer in time")
    );
    Fatal::new(Exit::Unavailable, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A run of the server, as the file with this inode shows it.
    fn run(inode: u64) -> Option<ServerRun> {
        Some(ServerRun {
            device: 1,
            inode,
            made: (0, 0),
        })
    }

    /// To which run a connection leads, and how often it was made, if these are seen one after the
    /// other.
    async fn opened(mut seen: impl Iterator<Item = Option<ServerRun>>) -> (Option<ServerRun>, u32) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tripesock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut looks = 0;
        let look = || {
            looks += 1;
            seen.next().unwrap()
        };
        let (_stream, run) = open(&path, look).await.unwrap();
        (run, looks - 1)
    }

    #[tokio::test]
    async fn a_connection_is_made_again_until_it_is_known_where_it_leads() {
        let steady = std::iter::repeat(run(1));
        assert_eq!(opened(steady).await, (run(1), 1));
        let replaced = [run(1), run(2), None, run(3)].into_iter();
        let replaced = replaced.chain(std::iter::repeat(run(3)));
        assert_eq!(opened(replaced).await, (run(3), 4));
    }

    #[tokio::test]
    async fn a_socket_that_is_replaced_each_time_is_used_all_the_same() {
        assert_eq!(opened((1..).map(run)).await, (None, CERTAIN_TRIES));
    }
}
