// SPDX-License-Identifier: GPL-3.0-or-later
//! The core of the connect service: the admin connection, the peer table, the service's commands.
//!
//! [`machine`] decides everything without I/O. Its [`Input`](machine::Input) and
//! [`Output`](machine::Output) are the table of contents of what the service can do. [`event_loop`]
//! receives, hands to the machine and sends; [`startup`] is what comes before.

pub mod admin_link;
pub mod core_program;
pub mod daemonize;
pub mod database_watch;
pub mod driver;
pub mod endpoints;
pub mod event_loop;
pub mod launcher;
pub mod machine;
pub mod options;
pub mod recording;
pub mod replay;
pub mod saved_state;
pub mod secrets;
pub mod server_run;
pub mod service_manager;
pub mod signals;
pub mod startup;
pub mod trace;
