// SPDX-License-Identifier: GPL-3.0-or-later
//! The script helper of the connect service: it runs the scripts that core orders (`ifup`,
//! `ifdown`, `connect`, `disconnect`, `on-up` and `on-down`), and tells core what happens to them.
//!
//! [`machine`] decides which run starts when and how it ends, `queue` keeps the runs of each peer
//! in order, [`ledger`] has what the next helper must know, [`outbox`] keeps what core has not been
//! told yet, and `lines` cuts output into lines. These five do no I/O and read no clock; three of
//! them are public so that they can be tested together with core. Around them, `service` owns the
//! tasks that do; `journal` writes the ledger's changes to a file, under a lock that one helper has
//! at a time; `admission` says which scripts may run, and with which environment; `lookups` has
//! host names looked up, each by a child that does nothing else (`resolve`).

pub mod ledger;
pub mod machine;
pub mod outbox;

mod admission;
mod adopted;
mod child;
mod children;
mod earlier;
#[cfg(fuzzing)]
pub mod fuzzing;
mod journal;
mod lines;
mod lookups;
mod marks;
mod options;
mod pipes;
mod queue;
mod resolve;
mod service;
mod spawn;
mod stdin;
mod succession;

use std::process::ExitCode;

use clap::Parser as _;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    // The argument of a child that does a lookup. Operators do not use it.
    if let Some(exit) = resolve::child(std::env::args_os()) {
        return exit;
    }
    let options = options::Options::parse();
    let helper = options.helper.clone();
    connect_runtime::helper::run("connect-ifscripts", &helper, service::run(options))
}
