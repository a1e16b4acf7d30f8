// SPDX-License-Identifier: GPL-3.0-or-later
//! A lab server for TrIPE's administration protocol: it speaks the protocol faithfully, moves real
//! UDP datagrams between servers, and encrypts nothing.
//!
//! [`Lab::start`] runs one on a thread of its own and gives a [`LabHandle`] to look at it, wait for
//! what happens at it, and do it harm. The server itself is [`server::Server`], a state machine
//! without any I/O.
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use std::os::unix::net::UnixStream;
//! use tripe_lab::{Lab, LabConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let lab = Lab::start(LabConfig::new(dir.path().join("tripesock")))?;
//!
//! let mut stream = UnixStream::connect(lab.socket_path())?;
//! stream.write_all(b"PORT\n")?;
//! let mut line = String::new();
//! BufReader::new(stream).read_line(&mut line)?;
//! assert_eq!(line, format!("INFO {}\n", lab.udp_addr().port()));
//! # Ok(())
//! # }
//! ```

mod as_text;
pub mod cli;
pub mod config;
pub mod datagram;
pub mod error;
pub mod faults;
pub mod handle;
pub mod lines;
pub mod log;
pub mod quote;
pub mod rng;
pub mod server;
mod shell;
pub mod switches;
pub mod text;

pub use config::LabConfig;
pub use error::LabError;
pub use handle::{Lab, LabHandle};
pub use log::{Event, Follower, What};
pub use switches::Switches;

/// What is said on start, so that nobody takes the lab for a VPN.
pub const BANNER: &str = "tripe-lab is a lab server: it ENCRYPTS NOTHING and authenticates nobody. \
                          Never carry real traffic over it.";
