// SPDX-License-Identifier: GPL-3.0-or-later
//! `connect-ifscripts`, the script helper of the connect service.

use std::process::ExitCode;

use clap::Parser as _;
use connect_ifscripts::{Options, run};
use connect_runtime::exit::{Exit, Fatal, finish};

fn main() -> ExitCode {
    let result = run(&Options::parse())
        .map(|()| Exit::Success)
        .map_err(|error| Fatal::new(error.exit(), error));
    finish("connect-ifscripts", result)
}
