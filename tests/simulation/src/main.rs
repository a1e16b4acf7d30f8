// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line of the simulation.

use std::time::Duration;

use clap::Parser;
use simulation::instant::Instant;
use simulation::plan::{HostId, Plan, Profile, Scale};
use simulation::promise::Broken;
use simulation::promises::Promises;
use simulation::seen::{Seen, Watcher};
use simulation::world::{Digesting, How, Provider, World};

/// Plays whole sites in simulated time.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many hosts a site has.
    #[arg(long, default_value_t = 1)]
    hosts: u8,
    /// How many peers a host has.
    #[arg(long, default_value_t = 20)]
    peers: u32,
    /// How many hours a run lasts.
    #[arg(long, default_value_t = 8)]
    hours: u64,
    /// How many days a run lasts, in place of hours.
    #[arg(long)]
    days: Option<u64>,
    /// How much happens: storm, calm or mixed.
    #[arg(long, default_value = "storm")]
    profile: Profile,
    /// Hold the run against no promise.
    #[arg(long)]
    unjudged: bool,
    /// Leave out this promise, such as P10.
    #[arg(long)]
    without: Vec<String>,
}

/// All promises but some.
struct Judge<'a> {
    promises: Promises,
    without: &'a [String],
}

impl Watcher for Judge<'_> {
    fn see(&mut self, at: Instant, host: HostId, seen: Seen<'_>) -> Result<(), Broken> {
        let seen = self.promises.see(at, host, seen);
        seen.or_else(|broken| {
            let name = broken.promise.name();
            if self.without.iter().any(|it| it == name) {
                return Ok(());
            }
            Err(broken)
        })
    }
}

fn main() {
    let options = Options::parse();
    let hours = options.days.map_or(options.hours, |days| days * 24);
    let scale = Scale {
        hosts: options.hosts,
        peers: options.peers,
        time: Duration::from_secs(hours * 3_600),
        profile: options.profile,
    };
    let mut coverage = simulation::coverage::Coverage::default();
    for seed in options.first..options.first + options.seeds {
        println!(
            "seed {seed}: {} hosts, {} peers, {hours} h",
            scale.hosts, scale.peers
        );
        let plan = Plan::generate(seed, scale);
        let how = How {
            digest: Digesting::Off,
            ..How::default()
        };
        let played = if options.unjudged {
            World::new(&plan, how, ()).run().1
        } else {
            let promises = Promises::new(&plan, Provider::Product);
            let judge = Judge {
                promises,
                without: &options.without,
            };
            World::new(&plan, how, judge).run().1
        };
        match played {
            Ok(summary) => {
                coverage.add(&summary.coverage);
                println!(
                    "  {} steps, {} pings, {} scripts, {} jobs",
                    summary.steps, summary.pings, summary.scripts, summary.jobs
                );
            }
            Err(broken) => println!("  broken: {broken}"),
        }
    }
    for (name, count) in &coverage.0 {
        let (planned, done, effective) = (count.planned, count.done, count.effective);
        println!("{name:<40} {planned:>8} {done:>8} {effective:>8}");
    }
}
