// SPDX-License-Identifier: GPL-3.0-or-later
//! `completions`: what a shell needs to complete our command lines.

use std::io::Write as _;

use clap::{Args, Command};
use clap_complete::Shell;
use connect_runtime::exit::Exit;

use crate::common::Common;
use crate::error::Error;

/// Print the completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
    Examples:\n\
    \x20 connect-cli completions bash > /etc/bash_completion.d/connect-cli\n\
    \x20 connect-cli completions zsh > /usr/share/zsh/site-functions/_connect-cli\n\
    \x20 connect-cli completions fish > ~/.config/fish/completions/connect-cli.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command, common: &mut Common) -> Result<Exit, Error> {
        // The generator panics where it cannot write, so it writes to memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "connect-cli", &mut script);
        common.out.write_all(&script)?;
        Ok(Exit::Success)
    }
}
