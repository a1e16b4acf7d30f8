// SPDX-License-Identifier: GPL-3.0-or-later
//! A campaign of random deaths: processes of the service are killed and stopped while peers are
//! added and removed, and afterwards what the scripts wrote is compared with what the server said.
//! See docs/development/chaos.md.
//!
//! ```text
//!   [faults] --signals, commands, databases--> [world]: lab server, service, scripts
//!   lab server --notes, warnings--> [truth] --+
//!   scripts --starts, ends--> [scripts_log] --+--> [judge] --> [report]
//! ```

mod campaign;
mod faults;
mod figures;
mod leaks;
mod load;
mod neighbour;
mod options;
mod report;
mod run;
mod script;
mod scripts_log;
mod settling;
mod told;
mod truth;
mod untold;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Options, Task};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == script::TASK) {
        // Thousands of these are started: they must cost little, so clap is not asked.
        return script::play(arguments);
    }
    let options = Options::parse();
    let done = match &options.task {
        None => run::main(&options.single),
        Some(Task::Campaign(campaign)) => campaign::main(campaign),
        Some(Task::Guard { directory }) => world::guard::play(directory),
        Some(Task::Neighbour { socket }) => neighbour::play(socket),
    };
    match done {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}
