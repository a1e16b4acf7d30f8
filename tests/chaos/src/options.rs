// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::faults::NAMES;

/// Kill and stop the processes of the connect service at random, and judge what its scripts did.
///
/// Exit status: 0 if no fault was found, 1 if one was, 2 if the run itself did not work.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) single: Single,
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run the layouts drop-in and units with several seeds side by side, and print one table.
    Campaign(Campaign),
    /// Wait for the end of standard input, then end what was started in a directory.
    #[command(hide = true)]
    Guard {
        /// The directory.
        directory: PathBuf,
    },
    /// Use a socket of observers as badly as a stranger can.
    #[command(hide = true)]
    Neighbour {
        /// The socket.
        socket: PathBuf,
    },
}

/// How the service is started.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// The program `connect`, which starts the helpers.
    DropIn,
    /// Core and helpers each by itself, and started again as the systemd units do.
    Units,
    /// Core and helpers as services of the systemd of this machine, with what the units of the
    /// package say of their life. It is for a machine of its own: see packaging/chaos.
    Systemd,
}

impl Layout {
    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Layout::DropIn => "drop-in",
            Layout::Units => "units",
            Layout::Systemd => "systemd",
        }
    }

    /// Whether one program is the whole service.
    pub(crate) const fn is_drop_in(self) -> bool {
        matches!(self, Layout::DropIn)
    }
}

/// What a run is like, alone or in a campaign.
#[derive(Clone, Debug, Args)]
pub(crate) struct Setting {
    /// How long faults go on.
    #[arg(long, value_name = "NUMBER", default_value = "300")]
    pub(crate) seconds: u64,
    /// How many peers the database has.
    #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = clap::value_parser!(u16).range(10..=10_000))]
    pub(crate) peers: u16,
    /// How many faults and bursts of commands a second, on average.
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) pace: u64,
    /// Only these faults, such as `kill-core`, or `none`; peers come and go in any case. May be
    /// repeated.
    #[arg(long, value_name = "FAULT", value_parser = fault_name)]
    pub(crate) only: Vec<String>,
    /// Where the programs are [default: beside this one].
    #[arg(long, value_name = "DIR")]
    pub(crate) bin: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Of how many peers with faults the history is printed.
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    pub(crate) histories: usize,
    /// Keep the directory of the run, with the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The name of a fault as it is counted.
fn fault_name(word: &str) -> Result<String, String> {
    let name = word.replace('-', " ");
    if name == "none" || NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    let known: Vec<String> = NAMES.iter().map(|name| name.replace(' ', "-")).collect();
    Err(format!("it is one of {} or none", known.join(", ")))
}

/// One run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Single {
    /// How the service is started.
    #[arg(long, value_enum, default_value = "drop-in")]
    pub(crate) layout: Layout,
    /// What all choices follow from [default: another one each time].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) setting: Setting,
    /// End together with this process.
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) parent: Option<i32>,
}

/// Several runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Campaign {
    /// How many seeds for each layout.
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) first_seed: u64,
    /// How many runs at a time [default: all].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) jobs: Option<u64>,
    #[command(flatten)]
    pub(crate) setting: Setting,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_makes_sense() {
        Options::command().debug_assert();
        let options = Options::parse_from(["chaos", "--layout", "units", "--seed", "7"]);
        assert_eq!(options.single.layout, Layout::Units);
        let options = Options::parse_from(["chaos", "--only", "kill-core", "--only", "upgrade"]);
        assert_eq!(options.single.setting.only, ["kill core", "upgrade"]);
        assert!(Options::try_parse_from(["chaos", "--only", "kill-cat"]).is_err());
        let options = Options::parse_from(["chaos", "campaign", "--jobs", "2"]);
        assert!(matches!(options.task, Some(Task::Campaign(_))));
    }
}
