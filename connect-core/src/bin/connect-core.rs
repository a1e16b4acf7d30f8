// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect-core`; see connect-core(8).

use std::process::ExitCode;

fn main() -> ExitCode {
    connect_core::core_program::main()
}
