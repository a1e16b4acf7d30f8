// SPDX-License-Identifier: GPL-3.0-or-later
//! A plain client for tests of the lab: a socket and lines, and no knowledge of the protocol.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tripe_lab::{Lab, LabConfig, LabHandle};

/// How long a line may take before a test is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection of lines.
pub(crate) struct Client {
    write: UnixStream,
    read: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Client {
        Client::new(UnixStream::connect(path).unwrap())
    }

    /// A connection, if the socket is there and accepts.
    pub(crate) fn try_connect(path: &Path) -> Option<Client> {
        UnixStream::connect(path).ok().map(Client::new)
    }

    fn new(write: UnixStream) -> Client {
        write.set_read_timeout(Some(PATIENCE)).unwrap();
        let read = BufReader::new(write.try_clone().unwrap());
        Client { write, read }
    }

    /// Sends a line.
    pub(crate) fn send(&mut self, line: &str) {
        self.send_raw(format!("{line}\n").as_bytes());
    }

    /// Sends bytes as they stand.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).unwrap();
    }

    /// The next line's bytes, without its newline.
    pub(crate) fn raw_line(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read.read_until(b'\n', &mut bytes).unwrap();
        bytes.pop();
        bytes
    }

    /// The next line, or what happened to it.
    pub(crate) fn try_line(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        self.read.read_until(b'\n', &mut bytes)?;
        match bytes.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Some(other) => {
                bytes.push(other);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Ok(Some(format!("{text}<no newline>")))
            }
        }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().unwrap().unwrap_or_else(|| "<end>".into())
    }

    /// Checks that exactly these lines come next.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.line(), *line);
        }
    }

    /// Sends a line and checks the lines that come next.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, answer: &[&str]) {
        self.send(line);
        for expected in answer {
            assert_eq!(self.line(), *expected, "in answer to {line:?}");
        }
    }

    /// Sends a command and gives its answer, up to `OK` or `FAIL`.
    pub(crate) fn answer(&mut self, line: &str) -> Vec<String> {
        self.send(line);
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let last = line == "OK" || line.starts_with("FAIL") || line == "<end>";
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Checks that nothing has come that was not read: whatever was sent before the answer to this
    /// command would come before it.
    #[track_caller]
    pub(crate) fn nothing_more(&mut self) {
        self.ask(
            "SVCENSURE no-such-service",
            &["FAIL unknown-service no-such-service"],
        );
    }

    /// Closes the sending direction.
    pub(crate) fn half_close(&self) {
        self.write.shutdown(Shutdown::Write).unwrap();
    }
}

/// A lab server in a directory of its own.
pub(crate) struct Bench {
    pub(crate) lab: LabHandle,
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(|_| {})
    }

    /// One whose configuration is changed before it starts.
    pub(crate) fn with(change: impl FnOnce(&mut LabConfig)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut config = LabConfig {
            // Whatever waits for a timer waits a twentieth of its time.
            time_scale: 20,
            ..LabConfig::new(dir.path().join("tripesock"))
        };
        change(&mut config);
        let lab = Lab::start(config).unwrap();
        Bench { lab, dir }
    }

    /// One on this loopback address.
    pub(crate) fn at(addr: &str) -> Bench {
        Bench::with(|config| config.udp = vec![addr.parse().unwrap()])
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.lab.socket_path())
    }

    /// A client that watches notes.
    pub(crate) fn watcher(&self) -> Client {
        let mut client = self.client();
        client.ask("WATCH -A+n", &["OK"]);
        client
    }

    /// `INET ADDRESS PORT` of this server.
    pub(crate) fn words(&self) -> String {
        let addr = self.lab.udp_addr();
        format!("INET {} {}", addr.ip(), addr.port())
    }
}
