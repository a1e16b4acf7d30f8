// SPDX-License-Identifier: GPL-3.0-or-later
//! The core of the connect service: the admin connection, the peer table, the service's commands.
//!
//! [`machine`] decides everything without I/O; [`daemon`] is the loop round it, [`startup`] what comes
//! before, and [`signals`] what may end it; [`sockets`] serves helpers and operators, and [`access`]
//! says whom; [`operators`] owes them answers, and [`observers`] events; [`database_watch`] notices a
//! new database; [`state_file`] keeps what the next core must know; [`notices`] tells the service
//! manager how things stand; [`launcher`] is the drop-in program `connect`, which starts the helpers
//! itself.

pub mod access;
pub mod daemon;
pub mod daemonize;
pub mod database_watch;
pub mod launcher;
pub mod machine;
pub mod notices;
pub mod observers;
pub mod operators;
pub mod options;
pub mod server;
pub mod server_instance;
pub mod signals;
pub mod sockets;
pub mod startup;
pub mod state_file;
pub mod trace;
