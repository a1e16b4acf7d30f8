// SPDX-License-Identifier: GPL-3.0-or-later
//! The administration client that adds and removes peers, many with one write.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::{Client, Next, own_number, tell_number};
use super::watcher::Watcher;
use crate::world::database::address;

/// A connection to the server for commands whose outcome the watcher sees.
#[derive(Debug)]
pub(crate) struct Commander {
    stream: UnixStream,
    number: Arc<Mutex<Option<String>>>,
}

/// A command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    Add(String),
    Kill(String),
}

impl Commander {
    /// Connects to the server that runs now.
    pub(crate) fn connect(socket: &Path) -> anyhow::Result<Self> {
        let mut client = Client::connect(socket)?;
        let stream = client.writer()?;
        let number = Arc::new(Mutex::new(None));
        let learned = Arc::clone(&number);
        client.send("LAB CLIENTS\n")?;
        std::thread::spawn(move || {
            // Answers are read so that the server does not wait, and ends with the server.
            loop {
                match client.next(Duration::from_secs(60)) {
                    Next::Line(line, _) => {
                        if let Some(number) = own_number(&line) {
                            *learned.lock().unwrap_or_else(PoisonError::into_inner) =
                                Some(number.to_owned());
                        } else if let Some(other) = line.strip_prefix("INFO ") {
                            // Only the numbers of clients are ever asked for here.
                            let _ = client.send(&tell_number(other));
                        }
                    }
                    Next::Nothing => {}
                    Next::Closed => return,
                }
            }
        });
        Ok(Commander { stream, number })
    }

    /// Its number at the server, once known.
    pub(crate) fn number(&self) -> Option<String> {
        self.number
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gives commands with one write.
    pub(crate) fn give(&mut self, commands: &[Command], watcher: &Watcher) -> anyhow::Result<()> {
        let mut lines = String::new();
        {
            let mut account = watcher.account();
            for command in commands {
                match command {
                    Command::Add(peer) => {
                        account.command(peer);
                        writeln!(lines, "ADD {peer} {}", address(peer))?;
                    }
                    Command::Kill(peer) => {
                        account.command(peer);
                        writeln!(lines, "KILL {peer}")?;
                    }
                }
            }
        }
        Ok(self.stream.write_all(lines.as_bytes())?)
    }
}
