// SPDX-License-Identifier: GPL-3.0-or-later
//! What all helper programs have in common: options, start and end.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::descriptor::close_inherited;
use crate::exit::{Exit, Fatal, finish};
use crate::helper_link::CoreAddress;
use crate::logging::{self, LogOptions};
use crate::parent::end_with_parent;
use crate::paths::{self, RuntimeDir};
use crate::program;
use crate::users::Admitted;

/// The options that all helpers have.
#[derive(Args, Clone, Debug)]
pub struct HelperOptions {
    /// Core's socket for helpers [default: helpers.sock in the runtime directory].
    #[arg(long, value_name = "PATH", conflicts_with = "runtime_dir")]
    socket: Option<PathBuf>,
    /// The directory of the connect service's sockets.
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// A user whose process may be core, beside root and the user of this process; may be repeated.
    #[arg(long = "core-user", value_name = "USER")]
    core_users: Vec<String>,
    /// End together with the process of this number, which must be the one that starts this.
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
    #[command(flatten)]
    log: LogOptions,
}

impl HelperOptions {
    /// Core's socket for helpers, and the users as which core may run.
    ///
    /// # Errors
    /// If a user that was named does not exist.
    pub fn core(&self) -> anyhow::Result<CoreAddress> {
        Ok(CoreAddress {
            socket: self.socket(),
            users: Admitted::new(&self.core_users, "--core-user")?,
        })
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| {
            let admin = paths::admin_socket(None, &paths::directory(None));
            RuntimeDir::find(self.runtime_dir.as_deref(), &admin).helpers_socket()
        })
    }
}

/// Runs a helper program: sets up logging, ties the process to its parent, and does the work.
#[must_use]
pub fn run(
    program: &str,
    options: &HelperOptions,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> ExitCode {
    finish(program, start(options, work))
}

fn start(
    options: &HelperOptions,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> Result<Exit, Fatal> {
    // Otherwise scripts would inherit the open descriptors of the program that started this helper.
    close_inherited();
    logging::init(&options.log).map_err(|error| Fatal::new(Exit::Usage, error))?;
    if let Some(parent) = options.parent {
        end_with_parent(parent).map_err(|error| Fatal::new(Exit::Unavailable, error))?;
    }
    program::run(async {
        work.await
            .map_err(|error| Fatal::new(Exit::System, error))?;
        Ok(Exit::Success)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        helper: HelperOptions,
    }

    #[test]
    fn the_socket_is_that_of_the_option_or_of_the_directory() {
        let socket = |words: &[&str]| Options::parse_from(words).helper.socket();
        let in_directory = socket(&["helper", "--runtime-dir", "/run/x"]);
        assert_eq!(in_directory, Path::new("/run/x/helpers.sock"));
        assert_eq!(
            socket(&["helper", "--socket", "/run/h"]),
            Path::new("/run/h")
        );
    }
}
