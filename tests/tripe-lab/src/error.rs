// SPDX-License-Identifier: GPL-3.0-or-later
//! What can go wrong with a lab server as a whole.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why something asked of a [`LabHandle`](crate::LabHandle) did not come about.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The admin socket cannot be made.
    #[error("cannot listen on the admin socket {}: {error}", path.display())]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Another server listens on the admin socket.
    #[error("another server listens on the admin socket {} already", .0.display())]
    InUse(PathBuf),
    /// A UDP socket cannot be made.
    #[error("cannot bind the UDP address {addr}: {error}")]
    Udp {
        /// Its address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The server's thread cannot be started.
    #[error("cannot start the server's thread: {0}")]
    Thread(#[source] io::Error),
    /// The server does not run.
    #[error("the lab server does not run")]
    NotRunning,
    /// A control command failed.
    #[error("LAB {line}: {reason}")]
    Control {
        /// The command, without the word `LAB`.
        line: String,
        /// Code and arguments of its `FAIL`.
        reason: String,
    },
    /// What was waited for did not happen.
    #[error("waited {} s in vain for {what} (seed {seed}); last events:\n{tail}", waited.as_secs_f32())]
    Timeout {
        /// What it was.
        what: String,
        /// How long.
        waited: Duration,
        /// Seed of the server, to run it the same way again.
        seed: u64,
        /// The end of the event log.
        tail: String,
    },
}
