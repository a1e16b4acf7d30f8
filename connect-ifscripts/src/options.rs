// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use connect_runtime::logging::LogOptions;
use connect_runtime::paths::{self, RuntimeDir};
use tripe_admin::Interval;

/// Run the scripts of the connect service.
#[derive(Clone, Debug, Parser)]
#[command(name = "connect-ifscripts", version)]
pub struct Options {
    /// The socket on which core waits for its helpers [default: helpers.sock in the runtime
    /// directory].
    #[arg(long, value_name = "PATH", conflicts_with = "runtime_dir")]
    pub socket: Option<PathBuf>,
    /// The directory of the connect service's sockets.
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// How many scripts may run at once, over all peers.
    // 64 of them cost less than 200 of the 1,024 descriptors a process commonly gets, and are more
    // than any machine starts at once with profit.
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub children: NonZeroUsize,
    /// Give scripts a clean environment: a safe PATH, HOME and the like, what belongs to TrIPE, and
    /// the variables of the manual [default: our own environment].
    #[arg(long)]
    pub clean_environment: bool,
    /// Run scripts with more than ordinary rights even if others can change them.
    #[arg(long)]
    pub allow_unsafe_scripts: bool,
    /// How long scripts may take to end when a signal ends this program [default: they are left
    /// alone at once].
    #[arg(long, value_name = "TIME")]
    pub stop_wait: Option<Interval>,
    /// End together with the process of this number, which must be the one that starts this.
    #[arg(long, value_name = "PID", hide = true)]
    pub parent: Option<i32>,
    /// Logging.
    #[command(flatten)]
    pub log: LogOptions,
}

impl Options {
    /// Where to find core.
    #[must_use]
    pub fn helpers_socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| {
            let admin = paths::admin_socket(None, &paths::directory(None));
            RuntimeDir::find(self.runtime_dir.as_deref(), &admin).helpers_socket()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use std::path::Path;

    #[test]
    fn the_command_line_makes_sense() {
        Options::command().debug_assert();
        let options = Options::parse_from(["connect-ifscripts", "--runtime-dir", "/run/x"]);
        assert_eq!(options.helpers_socket(), Path::new("/run/x/helpers.sock"));
        assert_eq!(options.children.get(), 64);
        let options = Options::parse_from(["connect-ifscripts", "--socket", "/run/h"]);
        assert_eq!(options.helpers_socket(), Path::new("/run/h"));
        assert!(Options::try_parse_from(["connect-ifscripts", "--children", "0"]).is_err());
    }

    #[test]
    fn the_manual_page_names_every_option_and_no_other() {
        let page = include_str!("../../man/connect-ifscripts.8");
        // The page names an option of core.
        let others = ["helper-user"];
        let found = connect_runtime::manual::disagreements(Options::command(), page, &others);
        assert_eq!(found, [""; 0]);
    }
}
