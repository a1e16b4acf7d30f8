// SPDX-License-Identifier: GPL-3.0-or-later
//! An operator of core's sockets that does nothing but ask and wait.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::control::{Answer, Envelope, Reply, Request};
use connect_ipc::hello::{Hello, Role};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub(crate) struct Operator {
    stream: BufReader<UnixStream>,
    line: String,
    next: u64,
}

impl Operator {
    /// Connects and says hello.
    pub(crate) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut operator = Operator {
            stream: BufReader::with_capacity(64 * 1024, stream),
            line: String::new(),
            next: 1,
        };
        let hello = serde_json::to_string(&Hello::new(Role::Operator))?;
        writeln!(operator.stream.get_mut(), "{hello}")?;
        operator.read()?;
        Ok(operator)
    }

    /// Sends a request without waiting, and gives its number.
    pub(crate) fn send(&mut self, request: Request) -> anyhow::Result<u64> {
        let id = self.next;
        self.next += 1;
        let mut line = serde_json::to_string(&Envelope { id, request })?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes())?;
        Ok(id)
    }

    /// The next line, as it came.
    pub(crate) fn read(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        let count = self.stream.read_line(&mut self.line)?;
        anyhow::ensure!(count > 0, "core closed the connection");
        Ok(self.line.trim_end())
    }

    /// The next reply, whatever it belongs to.
    pub(crate) fn reply(&mut self) -> anyhow::Result<Reply> {
        let answer: Answer = serde_json::from_str(self.read()?)?;
        Ok(answer.reply)
    }

    /// Asks and waits for all replies.
    pub(crate) fn ask(&mut self, request: Request) -> anyhow::Result<Vec<Reply>> {
        self.send(request)?;
        let mut replies = Vec::new();
        loop {
            let reply = self.reply()?;
            let last = reply.is_final() || matches!(reply, Reply::Live { .. });
            replies.push(reply);
            if last {
                return Ok(replies);
            }
        }
    }
}

impl Operator {
    /// The connection itself, for who reads on without parsing; everything asked was answered.
    pub(crate) fn into_stream(self) -> anyhow::Result<UnixStream> {
        anyhow::ensure!(self.stream.buffer().is_empty(), "something is unread");
        Ok(self.stream.into_inner())
    }
}
