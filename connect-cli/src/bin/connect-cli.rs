// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect-cli`; see connect-cli(1).

use std::process::ExitCode;

fn main() -> ExitCode {
    connect_cli::main()
}
