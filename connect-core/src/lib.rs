// SPDX-License-Identifier: GPL-3.0-or-later
//! The core of the connect service: the admin connection, the peer table, the service's commands.
//!
//! [`machine`] decides everything without I/O. Its [`Input`](machine::Input) and
//! [`Output`](machine::Output) are the table of contents of what the service can do. `event_loop`
//! receives, hands to the machine and sends; `startup` is what comes before.

mod admin_link;
pub mod core_program;
mod daemonize;
mod database_watch;
mod driver;
pub mod endpoints;
mod event_loop;
mod for_people;
#[cfg(fuzzing)]
pub mod fuzzing;
mod helper_process;
mod kept_database;
pub mod launcher;
mod lock_watch;
pub mod machine;
mod options;
mod readiness;
pub mod recording;
pub mod replay;
mod restarts;
pub mod retry;
pub mod save_times;
mod saved_state;
pub mod secrets;
pub mod server_run;
mod service_manager;
mod signals;
mod startup;
mod state_file;
mod stopping;
mod trace;
