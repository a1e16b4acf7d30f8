// SPDX-License-Identifier: GPL-3.0-or-later
//! A client of the server that knows when each line came: not before the system was last asked for
//! lines and had none. However late this process gets to run, a cause is never taken to be later
//! than it was.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_runtime::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use judge::history::Span;

/// What came of waiting for a line.
pub(crate) enum Next {
    Line(String, Span),
    /// None came in the time.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
    lines: VecDeque<(String, Span)>,
    /// When the last read began, or the last wait in which nothing came.
    read_began: Monotonic,
    /// Since when the unfinished line at the end of the buffer may have been on its way.
    unfinished_from: Option<Monotonic>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let began = clock::now();
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(Client {
            stream,
            buffer: Vec::new(),
            lines: VecDeque::new(),
            read_began: began,
            unfinished_from: None,
        })
    }

    /// A writer for another thread.
    pub(crate) fn writer(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Sends lines with one write.
    pub(crate) fn send(&mut self, lines: &str) -> io::Result<()> {
        self.stream.write_all(lines.as_bytes())
    }

    /// The next line, if one comes in this time.
    pub(crate) fn next(&mut self, wait: Duration) -> Next {
        loop {
            if let Some((line, when)) = self.lines.pop_front() {
                return Next::Line(line, when);
            }
            match self.is_readable(wait) {
                Ok(true) => {}
                Ok(false) => return Next::Nothing,
                Err(_) => return Next::Closed,
            }
            if !matches!(self.read(), Ok(1..)) {
                return Next::Closed;
            }
        }
    }

    fn is_readable(&mut self, wait: Duration) -> io::Result<bool> {
        let began = clock::now();
        let mut descriptors = [PollFd::new(&self.stream, PollFlags::IN)];
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match poll(&mut descriptors, Some(&wait)) {
            Ok(0) => {
                // When it began to wait there was nothing.
                self.read_began = began;
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 65_536];
        let before = clock::now();
        let count = self.stream.read(&mut chunk)?;
        let from = std::mem::replace(&mut self.read_began, before);
        let to = clock::now();
        self.buffer
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        let mut from_of_line = self.unfinished_from.take().unwrap_or(from);
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let when = Span {
                from: from_of_line,
                to,
            };
            self.lines.push_back((line, when));
            from_of_line = from;
        }
        if !self.buffer.is_empty() {
            self.unfinished_from = Some(from_of_line);
        }
        Ok(count)
    }
}

/// Sends one command on a connection of its own, and gives the lines of its answer if it succeeds
/// in this time.
pub(crate) fn ask(socket: &Path, command: &str, wait: Duration) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(socket)?;
    client.send(&format!("{command}\n"))?;
    let deadline = clock::now() + wait;
    let mut lines = Vec::new();
    loop {
        let left = deadline.since(clock::now());
        match client.next(left) {
            Next::Line(line, _) => {
                if line == "OK" {
                    return Ok(lines);
                }
                if let Some(info) = line.strip_prefix("INFO ") {
                    lines.push(info.to_owned());
                }
                anyhow::ensure!(!line.starts_with("FAIL"), "{command}: {line}");
            }
            Next::Nothing if left.is_zero() => anyhow::bail!("{command}: no answer in time"),
            Next::Nothing => {}
            Next::Closed => anyhow::bail!("{command}: the server closed the connection"),
        }
    }
}

/// The line by which the server tells a client its number, to be recognised with [`own_number`].
pub(crate) fn tell_number(client: &str) -> String {
    format!("LAB SAY {client} \"TRACE chaos {client}\"\n")
}

/// A client's own number in what the server was made to say.
pub(crate) fn own_number(line: &str) -> Option<&str> {
    line.strip_prefix("TRACE chaos ")
}

/// Has the server close the connections of all clients but this one and the ones named. How many it
/// has closed.
pub(crate) fn cut_others(
    socket: &Path,
    spared: &[String],
    wait: Duration,
) -> anyhow::Result<usize> {
    let before = ask(socket, "LAB CLIENTS", wait)?;
    // A connection that is made after this question, such as the one that cuts, is not cut.
    let cut = before.into_iter().filter(|client| !spared.contains(client));
    // A client may be gone meanwhile, as the connection that asked.
    let is_cut = |client: &String| ask(socket, &format!("LAB CUT {client}"), wait).is_ok();
    Ok(cut.filter(is_cut).count())
}
