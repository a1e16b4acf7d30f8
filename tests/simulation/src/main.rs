// SPDX-License-Identifier: GPL-3.0-or-later
//! The command line of the simulation.

use std::time::Duration;

use clap::Parser;
use simulation::plan::{Plan, Profile, Scale};
use simulation::world::{Digesting, How, World};

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
        match World::new(&plan, how, ()).run().1 {
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
