// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect-ifscripts`; see connect-ifscripts(8).

use std::process::ExitCode;

fn main() -> ExitCode {
    connect_ifscripts::main()
}
