// SPDX-License-Identifier: GPL-3.0-or-later
//! An administration client for tests: plain lines on a plain socket, as an operator would type
//! them, and none of the code under test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::PATIENCE;

/// The answer to one foreground command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The `INFO` lines, without that word.
    pub info: Vec<String>,
    /// What follows `FAIL`, if it failed.
    pub failure: Option<String>,
}

impl Reply {
    /// The lines of a command that succeeded.
    ///
    /// # Errors
    /// If it failed.
    pub fn lines(self) -> anyhow::Result<Vec<String>> {
        ensure!(self.failure.is_none(), "the command failed: {self:?}");
        Ok(self.info)
    }

    /// What follows `FAIL` for a command that failed.
    ///
    /// # Errors
    /// If it succeeded.
    pub fn failed(self) -> anyhow::Result<String> {
        self.failure.context("the command succeeded")
    }
}

/// One connection to a server's administration socket.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<UnixStream>,
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Admin {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one line.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, line: &str) -> anyhow::Result<()> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }

    /// The next line.
    ///
    /// # Errors
    /// If none comes.
    pub fn receive(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let count = self
            .stream
            .read_line(&mut line)
            .context("no answer from the server")?;
        ensure!(count > 0, "the server closed the connection");
        Ok(line.trim_end_matches('\n').to_owned())
    }

    /// The next line that begins with `prefix`; others are passed over.
    ///
    /// # Errors
    /// If none comes.
    pub fn receive_until(&mut self, prefix: &str) -> anyhow::Result<String> {
        loop {
            let line = self
                .receive()
                .with_context(|| format!("waiting for {prefix:?}"))?;
            if line.starts_with(prefix) {
                return Ok(line);
            }
        }
    }

    /// Runs a foreground command; broadcasts in between are passed over.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn ask(&mut self, line: &str) -> anyhow::Result<Reply> {
        self.send(line)?;
        let mut info = Vec::new();
        loop {
            let answer = self
                .receive()
                .with_context(|| format!("in answer to {line:?}"))?;
            let (word, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
            match word {
                "INFO" => info.push(rest.to_owned()),
                "OK" => {
                    return Ok(Reply {
                        info,
                        failure: None,
                    });
                }
                "FAIL" => {
                    return Ok(Reply {
                        info,
                        failure: Some(rest.to_owned()),
                    });
                }
                "NOTE" | "WARN" | "TRACE" => {}
                _ => bail!("unexpected answer {answer:?} to {line:?}"),
            }
        }
    }

    /// Runs a command of the service `connect`.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn submit(&mut self, command: &str) -> anyhow::Result<Reply> {
        self.ask(&format!("SVCSUBMIT connect {command}"))
    }
}
