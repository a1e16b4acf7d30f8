// SPDX-License-Identifier: GPL-3.0-or-later
//! Other users of the host, each a process of its own: those who attack the service, those who only
//! compute as much, and one who asks for the state now and then.

mod attacks;
pub(crate) mod burner;
pub(crate) mod reader;

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use connect_ipc::control::{Envelope, Request};
use connect_ipc::hello::{Hello, Role};

/// What an attacker does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Attack {
    /// Asks for the state without end, and never reads.
    Flood,
    /// Asks for the state, reads slowly, leaves, and comes again.
    Slow,
    /// Subscribes to everything, several times on each connection.
    Subscribe,
    /// Connects and leaves, and says nonsense, too much, half of something, and what costs most to
    /// answer.
    Churn,
}

impl Attack {
    /// All of them.
    pub(crate) const ALL: [Attack; 4] = [
        Attack::Flood,
        Attack::Slow,
        Attack::Subscribe,
        Attack::Churn,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Attacks these sockets, of which the first is that of observers, until the process is killed.
    pub(crate) fn play(self, sockets: &[PathBuf]) -> anyhow::Result<()> {
        let observe = sockets.first().map_or(Path::new(""), PathBuf::as_path);
        match self {
            Attack::Flood => attacks::flood(observe),
            Attack::Slow => attacks::slow(observe),
            Attack::Subscribe => attacks::subscribe(observe),
            Attack::Churn => attacks::churn(sockets),
        }
    }
}

/// A message as a line.
fn line(message: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// A request as a line.
fn request(request: Request) -> anyhow::Result<Vec<u8>> {
    line(&Envelope { id: 1, request })
}

/// Connects and says hello, then this, as far as there is room for it. Neither reading nor writing
/// waits.
fn connect(socket: &Path, words: &[u8]) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    let mut all = serde_json::to_vec(&Hello::new(Role::Operator))?;
    all.push(b'\n');
    all.extend_from_slice(words);
    stream.write_all(&all)?;
    Ok(stream)
}
