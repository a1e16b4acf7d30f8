// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect-pinger`; see connect-pinger(8).

use std::process::ExitCode;

fn main() -> ExitCode {
    connect_pinger::run::main()
}
