// SPDX-License-Identifier: GPL-3.0-or-later
//! The program `connect-core`: core in this process; others start the helpers.

use std::process::ExitCode;

use clap::Parser as _;
use connect_runtime::exit::{Exit, Fatal, finish};
use connect_runtime::{logging, program};

use crate::options::{CoreCommand, CoreOnlyOptions, CoreOptions};
use crate::replay;
use crate::restarts::Restarts;
use crate::signals::Hangup;
use crate::startup;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let CoreOnlyOptions { core, command } = CoreOnlyOptions::parse();
    let result = match command {
        None => start(core),
        Some(CoreCommand::Replay(options)) if options.quiet => replay::run(&options),
        // The replay writes the log of the recorded run again.
        Some(CoreCommand::Replay(options)) => logging::init_for_command(&core.log)
            .map_err(|error| Fatal::new(Exit::Usage, error))
            .and_then(|()| replay::run(&options)),
    };
    finish("connect-core", result)
}

fn start(options: CoreOptions) -> Result<Exit, Fatal> {
    logging::init(&options.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    let handed_over = startup::handed_over()?;
    let paths = startup::enter(&options)?;
    program::run(async move {
        let mut event_loop = startup::prepare(
            &options,
            &paths,
            handed_over,
            Hangup::Reload,
            Restarts::none(),
        )
        .await?;
        event_loop.run(|| {}).await
    })
}
