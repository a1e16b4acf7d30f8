// SPDX-License-Identifier: GPL-3.0-or-later
//! Threads that the system chooses for no signal, so that the event loop alone receives signals.
//!
//! A helper is told by a signal to end, and then its connection is closed. If another thread
//! receives the signal, the event loop learns of it when that thread runs: on a loaded host after
//! the end of the connection, which then looks like a fault.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::SigSet;

/// Starts a thread that receives no signal which is sent to the process.
///
/// # Errors
/// If the system has no thread left.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        block_signals();
        work();
    })
}

/// Makes this thread one that receives no signal which is sent to the process.
pub fn block_signals() {
    // It fails only if the set of signals is not in our memory.
    let _ = SigSet::all().thread_block();
}
