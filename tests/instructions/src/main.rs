// SPDX-License-Identifier: GPL-3.0-or-later
//! Counts the instructions of the hot paths under callgrind, and compares them with the record in
//! `baseline.json`: times differ from run to run, instructions hardly.
//!
//! ```text
//!   instructions --starts--> valgrind --runs--> instructions play PATH TIMES
//!        ^                       |
//!        +--- instructions ------+   for TIMES and twice as many; the difference is the path's own
//! ```

mod baseline;
mod count;
mod paths;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use baseline::{Baseline, Verdict};

/// Counts the instructions of the hot paths and compares them with the record.
#[derive(Debug, Parser)]
#[command(name = "instructions", version, args_conflicts_with_subcommands = true)]
struct Options {
    /// Make what is counted now the new record.
    #[arg(long)]
    record: bool,
    #[command(subcommand)]
    play: Option<Play>,
}

#[derive(Debug, Subcommand)]
enum Play {
    /// Run one path so many times, for valgrind.
    #[command(hide = true)]
    Play {
        /// Which.
        path: String,
        /// How often.
        times: u32,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.play {
        Some(Play::Play { path, times }) => paths::play(path, *times).map(|()| true),
        None => run(options.record),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Counts everything; `false` if a path has become dearer.
fn run(record: bool) -> anyhow::Result<bool> {
    let known = Baseline::read()?;
    let here = Baseline::here()?;
    if !record && let Some(why) = known.differs_from(&here) {
        println!("instruction counts are not compared: {why}");
        return Ok(true);
    }
    let mut counted = here;
    let mut good = true;
    println!("{:44} {:>9} {:>9}", "path", "recorded", "now");
    for path in paths::all() {
        let now = count::per_run(path.name, path.times)?;
        counted.paths.insert(path.name.to_owned(), now);
        let recorded = known.paths.get(path.name).copied();
        let verdict = Verdict::of(recorded, now);
        good &= verdict.is_good();
        let before = recorded.map_or_else(|| "-".to_owned(), |count| count.to_string());
        println!("{:44} {before:>9} {now:>9}  {verdict}", path.name);
    }
    if record {
        counted.write()?;
        println!("recorded");
        return Ok(true);
    }
    if !good {
        println!("a path has become dearer: mend it, or record it with --record and say why");
    }
    Ok(good)
}
