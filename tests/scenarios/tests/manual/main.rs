// SPDX-License-Identifier: GPL-3.0-or-later
//! The manual page, proved: each module is one of its sections, and each test is named after the
//! sentence that it proves. All are one program, so that it is linked once and the machine is kept
//! busy to the end. docs/reference/conformance.md lists every sentence with its test.

mod absent_peers;
mod adoption;
mod changes;
mod child_processes;
mod command_line;
mod commands;
mod conformance;
mod database;
mod drop_in;
mod dynamic_connection;
mod early_signals;
mod environment;
mod failed_scripts;
mod faults;
mod hooks;
mod info;
mod interfaces;
mod knock;
mod logs;
mod neighbours;
mod notifications;
mod overdue;
mod passive;
mod pinging;
mod recording;
mod script_troubles;
mod scripts_again;
mod second_helpers;
mod service_manager;
mod socket_access;
mod sockets;
mod stopping;
mod support;
mod trust;
mod upgrade;
mod warnings;
