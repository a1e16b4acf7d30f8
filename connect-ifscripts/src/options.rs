// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use connect_runtime::helper::HelperOptions;
use tripe_admin::Interval;

/// Run the scripts of the connect service.
#[derive(Clone, Debug, Parser)]
#[command(name = "connect-ifscripts", version, max_term_width = 80)]
pub(crate) struct Options {
    /// How many ifup and ifdown scripts and hooks may run at once, over all peers.
    // 64 of each kind need less than 400 of the 1,024 descriptors that a process usually may have.
    // No machine is faster with more of them.
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub(crate) children: NonZeroUsize,
    /// How many connect and disconnect commands may run at once, over all peers.
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub(crate) connect_children: NonZeroUsize,
    /// Give scripts a clean environment: a safe PATH, HOME and the like, what belongs to TrIPE, and
    /// the variables of the manual [default: our own environment].
    #[arg(long)]
    pub(crate) clean_environment: bool,
    /// Run scripts with more than ordinary rights even if others can change them.
    #[arg(long)]
    pub(crate) allow_unsafe_scripts: bool,
    /// The directory of the journal, by which the next helper goes on where this one was [default:
    /// no journal].
    #[arg(long, value_name = "DIR")]
    pub(crate) journal_dir: Option<PathBuf>,
    /// How long scripts may take to end when a signal ends this program [default: they are left
    /// alone at once].
    #[arg(long, value_name = "TIME")]
    pub(crate) stop_wait: Option<Interval>,
    #[command(flatten)]
    pub(crate) helper: HelperOptions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_makes_sense() {
        Options::command().debug_assert();
        let options = Options::parse_from(["connect-ifscripts", "--runtime-dir", "/run/x"]);
        assert_eq!(options.children.get(), 64);
        assert!(Options::try_parse_from(["connect-ifscripts", "--children", "0"]).is_err());
    }

    #[test]
    fn the_manual_page_names_every_option_and_no_other() {
        let page = include_str!("../../man/connect-ifscripts.8");
        // The page also names options of core.
        let others = ["ifscripts-user", "startup"];
        let found = house::manual::disagreements(Options::command(), page, &others);
        assert_eq!(found, [""; 0]);
    }
}
