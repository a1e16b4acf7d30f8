// SPDX-License-Identifier: GPL-3.0-or-later
//! Measures the connect service, each quantity beside something else in the same run, since
//! machines differ and are noisy: `cargo run --release -p bench`. See
//! docs/development/performance.md.

mod baselines;
mod endurance;
mod measure;
mod neighbours;
mod operator;
mod options;
mod report;
mod rig;
mod rows;
mod setup;

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use options::{Command, Options, Role};
use report::json::{self, Results};
use report::machine::Machine;
use rows::{Effort, Found, progress};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (&options.command, &options.redraw) {
        (Some(Command::Play(role)), _) => role.play(),
        (Some(Command::Endure(endurance)), _) => endurance.run(),
        (None, Some(directory)) => json::draw(directory),
        (None, None) => run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let effort = Effort {
        runs: options.runs(),
        quick: options.quick,
    };
    setup::prepare();
    if !effort.quick {
        report::machine::wait_until_quiet();
    }
    let mut machine = Machine::look();
    let mut found = Found::default();
    for row in options.rows() {
        rows::measure(row, &effort, &mut found)
            .with_context(|| format!("cannot measure {row:?}"))?;
    }
    machine.finish();
    print!("{}", machine.text(effort.runs));
    print!("{}", report::table::render(&found.lines));
    let results = Results::new(
        &machine,
        effort.quick,
        effort.runs,
        &found.lines,
        &found.growth,
    );
    if let Some(directory) = &options.out {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join(json::FILE);
        fs::write(&path, results.text()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        json::draw(directory)?;
        progress(&format!("results and plots are in {}", directory.display()));
    }
    Ok(())
}

impl Role {
    /// Does what a comparator does.
    fn play(&self) -> anyhow::Result<()> {
        use std::time::Duration;
        let second = Duration::from_secs(1);
        match self {
            Role::Floor {
                socket,
                peers,
                period,
            } => baselines::floor::play(socket, *peers, Duration::from_secs(*period)),
            Role::Canned { socket, bytes } => baselines::canned::play(socket, bytes),
            Role::Echo { socket, reply } => baselines::echo::play(socket, reply),
            Role::Provider { socket, lines } => baselines::provider::play(socket, lines),
            Role::Neighbour { attack, sockets } => attack.play(sockets),
            Role::Burner { plan } => neighbours::burner::play(plan),
            Role::Reader { socket, times } => neighbours::reader::play(socket, *times),
            Role::Wheel { peers, seconds } => {
                baselines::wheel::play(*peers, second, Duration::from_secs(*seconds))
            }
        }
    }
}
