// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};
use clap::{Args, Parser, Subcommand};
use simulation::plan::Profile;

use crate::campaign::shape::{DAYS, HOSTS, PEERS};
use crate::campaign::work::Play;
use crate::campaign::{Campaign, Seeds, Size};

/// How many runs may be played at once: each is a process.
const JOBS: u64 = 256;

/// Plays whole sites in simulated time, under a seeded storm of faults, and holds them against what
/// is promised. See docs/development/simulation.md.
#[derive(Debug, Parser)]
#[command(name = "simulation", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    #[command(flatten)]
    pub(crate) storm: Storm,
}

/// What is to be done, if not to play seeds.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Play a plan again
    Run {
        /// The plan, as a failure leaves it
        plan: PathBuf,
        /// Write recordings of core and a narrative into this directory
        #[arg(long, value_name = "DIRECTORY")]
        record: Option<PathBuf>,
        /// Encode and decode each message between processes, not one in 64
        #[arg(long)]
        frames: bool,
    },
    /// Play the fixed seeds and the plans that have failed once
    Fixed {
        /// Runs at once, up to 256
        #[arg(long, default_value_t = 1, value_parser = number::<usize, JOBS>)]
        jobs: usize,
    },
    /// Prove that the same plan is the same run, and print its digest
    Prove {
        /// How many seeds, from 95,000,000 on
        #[arg(long, default_value_t = 20, value_parser = number::<u64, { u64::MAX }>)]
        seeds: u64,
        /// Runs at once, up to 256
        #[arg(long, default_value_t = 1, value_parser = number::<usize, JOBS>)]
        jobs: usize,
    },
    /// Hold the product against the manual, history by history
    Twin {
        /// How many seeds
        #[arg(long, default_value_t = 40, value_parser = number::<u64, { u64::MAX }>)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 0)]
        first: u64,
    },
    /// Print the page of differences, docs/reference/differences.md
    Differences,
    /// Look for a planted fault, in a build that has them
    Planted {
        /// Its number or name
        #[arg(required_unless_present = "list")]
        name: Option<String>,
        /// How many seeds may be needed
        #[arg(long, default_value_t = 2_000, value_parser = number::<u64, { u64::MAX }>)]
        seeds: u64,
        /// The first seed; those from 95,000,000 on have all kinds of faults
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Runs at once, up to 256
        #[arg(long, default_value_t = 1, value_parser = number::<usize, JOBS>)]
        jobs: usize,
        /// Say which there are
        #[arg(long)]
        list: bool,
    },
    /// Play what is read from standard input
    #[command(hide = true)]
    Worker,
}

/// Seeds to play.
#[derive(Debug, Args)]
pub(crate) struct Storm {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_parser = number::<u64, { u64::MAX }>)]
    seeds: u64,
    /// The first seed; by default 95,000,000, from which on plans have all kinds of faults, or the
    /// one after the last of the totals if that is greater
    #[arg(long)]
    first: Option<u64>,
    /// How many hosts a site has, up to 64; the size follows from the seed if neither this nor
    /// --peers nor a time is given
    #[arg(long, value_parser = number::<u8, HOSTS>)]
    hosts: Option<u8>,
    /// How many peers a host has, up to 1,000
    #[arg(long, value_parser = number::<u32, PEERS>)]
    peers: Option<u32>,
    /// How many days a run lasts, up to 3,660
    #[arg(long, value_parser = number::<u64, DAYS>)]
    days: Option<u64>,
    /// How many hours a run lasts, besides the days, up to 87,840
    #[arg(long, value_parser = number::<u64, { DAYS * 24 }>)]
    hours: Option<u64>,
    /// How much happens: storm, calm, steady or mixed
    #[arg(long, default_value = "storm")]
    profile: Profile,
    /// Runs at once, up to 256
    #[arg(long, default_value_t = 1, value_parser = number::<usize, JOBS>)]
    jobs: usize,
    /// Keep totals in this file, and go on with the seed after its last
    #[arg(long, value_name = "FILE")]
    totals: Option<PathBuf>,
    /// Begin no more runs after so long, such as `2 h' or `90 s'
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until: Option<Duration>,
    /// End after so many failures
    #[arg(long, default_value_t = 10, value_parser = number::<u64, { u64::MAX }>)]
    failures: u64,
    /// Encode and decode each message between processes, not one in 64
    #[arg(long)]
    frames: bool,
    /// Hold the runs against no promise, to see what the promises cost
    #[arg(long, conflicts_with = "totals")]
    unjudged: bool,
}

impl Storm {
    /// Which seeds.
    pub(crate) fn seeds(&self) -> Seeds {
        let hours = match (self.days, self.hours) {
            (None, None) => None,
            (days, hours) => Some(days.unwrap_or(0) * 24 + hours.unwrap_or(0)),
        };
        let is_sized = self.hosts.is_some() || self.peers.is_some() || hours.is_some();
        Seeds {
            first: self.first,
            count: self.seeds,
            profile: self.profile,
            size: if is_sized {
                let (hosts, peers) = (self.hosts.unwrap_or(1), self.peers.unwrap_or(4));
                Size::Given(hosts, peers, hours.unwrap_or(24))
            } else {
                Size::Mixed
            },
        }
    }

    /// How they are played.
    pub(crate) fn campaign(self) -> Campaign {
        Campaign {
            jobs: self.jobs,
            play: Play {
                digest: simulation::world::Digesting::Off,
                frames: self.frames,
                unjudged: self.unjudged,
                ..Play::default()
            },
            failures: self.failures,
            until: self.until,
            totals: self.totals,
        }
    }
}

/// A number of at least one, since of nothing nothing is shown, and not more than `MOST`.
fn number<T: TryFrom<u64>, const MOST: u64>(text: &str) -> Result<T> {
    let number: u64 = text.parse()?;
    if number < 1 {
        bail!("there must be at least one");
    }
    let number = Some(number).filter(|number| *number <= MOST);
    let number = number.and_then(|number| T::try_from(number).ok());
    number.with_context(|| format!("there may be at most {MOST}"))
}

/// A time as people write it: a number and a unit.
fn duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let digits = text.find(|it: char| !it.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}' does not begin with a number"))?;
    let seconds = match unit.trim() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        other => bail!("`{other}' is no unit of time; there are s, min and h"),
    };
    let seconds = number.checked_mul(seconds);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| Error::msg("too long"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(duration("2 h").unwrap(), Duration::from_secs(7_200));
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        for wrong in ["2", "h", "2 weeks", "99999999999999999999 h"] {
            duration(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_size_follows_from_the_seed_unless_it_is_given() {
        let seeds = |arguments: &[&str]| {
            let arguments = ["simulation"].iter().chain(arguments);
            Options::try_parse_from(arguments).unwrap().storm.seeds()
        };
        assert_eq!(seeds(&["--seeds", "5"]).size, Size::Mixed);
        let year = seeds(&["--hosts", "1", "--peers", "20", "--days", "365"]);
        assert_eq!(year.size, Size::Given(1, 20, 8_760));
    }

    #[test]
    fn the_size_of_a_run_has_a_limit() {
        for words in [
            "--days 3661",
            "--hours 18446744073709551615",
            "--hosts 65",
            "--hosts 256",
            "--peers 1001",
        ] {
            let words = ["simulation"].into_iter().chain(words.split(' '));
            let error = Options::try_parse_from(words).unwrap_err().to_string();
            assert!(
                error.contains("at most") || error.contains("too large"),
                "{error}"
            );
        }
        let both = ["simulation", "--days", "3660", "--hours", "87840"];
        let seeds = Options::try_parse_from(both).unwrap().storm.seeds();
        assert_eq!(seeds.size, Size::Given(1, 4, 175_680));
    }

    #[test]
    fn no_number_of_runs_or_of_what_they_have_is_zero() {
        for words in [
            "--seeds 0",
            "--hosts 0",
            "--peers 0",
            "--days 0",
            "--hours 0",
            "--jobs 0",
            "--failures 0",
            "fixed --jobs 0",
            "prove --seeds 0",
            "twin --seeds 0",
            "planted 01 --jobs 0",
        ] {
            let refused =
                Options::try_parse_from(["simulation"].into_iter().chain(words.split(' ')));
            let Err(error) = refused else {
                panic!("`{words}' is taken");
            };
            let error = error.to_string();
            assert!(error.contains("at least one"), "{error}");
        }
    }
}
