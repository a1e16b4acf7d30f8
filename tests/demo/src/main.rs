// SPDX-License-Identifier: GPL-3.0-or-later
//! The service at work, in about twenty seconds: two hosts on this machine, each with a lab server
//! and a connect service; a connection by knock, its loss, its return, and the death of a server.
//!
//! ```text
//!   gate: tripe-lab <--UDP on loopback--> tripe-lab :hub
//!            |                                |
//!         connect                          connect
//! ```

mod screen;
mod story;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    match story::tell() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
