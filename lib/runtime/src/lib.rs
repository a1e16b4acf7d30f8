// SPDX-License-Identifier: GPL-3.0-or-later
//! What every program of the connect service does at run time: local sockets and the messages on
//! them, clock and deadlines, paths, logging, exit codes, how a helper ends with the program that
//! started it, and how all of them talk to a service manager.
//!
//! The messages themselves are in `connect_ipc`, which does no I/O.

mod access_list;
pub mod activation;
mod client;
pub mod clock;
pub mod closing;
pub mod deadline;
pub mod descriptor;
pub mod exhaustion;
pub mod exit;
pub mod fault_log;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod helper;
pub mod helper_link;
mod journal;
pub mod line_queue;
pub mod lock_holder;
mod log_fields;
mod log_text;
pub mod logging;
pub mod notifier;
pub mod ownership;
pub mod parent;
pub mod passing;
pub mod paths;
pub mod pidfd;
pub mod program;
pub mod rate_limit;
pub mod scripts_journal;
mod sender;
pub mod signals;
pub mod socket;
pub mod start_time;
pub mod streams;
pub mod threads;
pub mod transport;
pub mod users;
