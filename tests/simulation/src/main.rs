// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays whole sites in simulated time; the command line of the simulation.

mod campaign;
mod options;
mod planting;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use simulation::plan::Profile;
use simulation::world::Digesting;

use campaign::work::Play;
use campaign::{Campaign, Seeds, Size, fixed, numbers, planted};
use options::{Options, Task};

fn main() -> ExitCode {
    match perform(Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulation: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Gives whether all is well.
fn perform(options: Options) -> Result<bool> {
    match options.task {
        None => {
            let seeds = options.storm.seeds();
            options.storm.campaign().storm(&seeds)
        }
        Some(Task::Run {
            plan,
            record,
            frames,
        }) => campaign::again(&plan, record, frames),
        Some(Task::Fixed { jobs }) => campaign(jobs).fixed(),
        Some(Task::Prove { seeds, jobs }) => campaign(jobs).prove(&storm(seeds, Size::Mixed)),
        Some(Task::Twin { seeds, first }) => campaign::twins::play(numbers(first, seeds)),
        Some(Task::Differences) => {
            print!("{}", simulation::twin::differences::page());
            Ok(true)
        }
        Some(Task::Planted {
            name,
            seeds,
            first,
            jobs,
            ..
        }) => {
            let all = planted::all(&fixed::directory().join("planted"))?;
            let Some(name) = name else {
                for planted in all {
                    println!("{:02} {}: {}", planted.number, planted.name, planted.what);
                }
                return Ok(true);
            };
            let planted = planted::named(all, &name)?;
            planting::set(planted.number).context("cannot plant it")?;
            let seeds = Seeds {
                first: Some(first),
                ..storm(seeds, Size::Small)
            };
            campaign(jobs).planted(&seeds, &planted)
        }
        Some(Task::Worker) => campaign::worker::serve().map(|()| true),
    }
}

fn campaign(jobs: usize) -> Campaign {
    Campaign {
        jobs,
        play: Play {
            digest: Digesting::Off,
            ..Play::default()
        },
        failures: 10,
        until: None,
        totals: None,
    }
}

const fn storm(count: u64, size: Size) -> Seeds {
    Seeds {
        first: None,
        count,
        profile: Profile::Storm,
        size,
    }
}
