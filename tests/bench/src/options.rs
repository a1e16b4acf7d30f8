// SPDX-License-Identifier: GPL-3.0-or-later
//! The benchmark's command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum as _};

use crate::endurance::Endurance;
use crate::neighbours::Attack;
use crate::rows::Row;

/// How many times each figure is measured, unless told: enough for a median that one disturbance
/// does not move.
const RUNS: usize = 7;

/// Measures the connect service beside other programs, in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// What to measure; everything if none is named.
    #[arg(value_enum)]
    rows: Vec<Row>,
    /// Only see that everything works: few peers, one short run. The figures mean little.
    #[arg(long)]
    pub quick: bool,
    /// How many times each figure is measured [default: 7, or 1 with --quick]; up to twice
    /// as often while its runs are far apart.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Write results.json and the plots into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Measure nothing, and draw the plots of the results.json in this directory again.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rows", "quick", "runs", "out"])]
    pub redraw: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service with very many peers for long, and measure once a second.
    Endure(Endurance),
    /// Be a comparator: the benchmark starts itself again.
    #[command(hide = true, subcommand)]
    Play(Role),
}

/// A comparator.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The smallest client that pings.
    Floor {
        /// The server's socket.
        socket: PathBuf,
        /// How many peers.
        peers: u32,
        /// The seconds from one ping of a peer to the next.
        period: u64,
    },
    /// A bare server of JSON lines.
    Echo {
        /// Its socket.
        socket: PathBuf,
        /// The file with its answer.
        reply: PathBuf,
    },
    /// A bare server that sends bytes.
    Canned {
        /// Its socket.
        socket: PathBuf,
        /// The file with them.
        bytes: PathBuf,
    },
    /// A provider that answers at once.
    Provider {
        /// The server's socket.
        socket: PathBuf,
        /// The file with its answer.
        lines: PathBuf,
    },
    /// A bare timer wheel.
    Wheel {
        /// How many timers.
        peers: u32,
        /// For how long.
        seconds: u64,
    },
    /// Another user, who attacks the service.
    Neighbour {
        /// How.
        attack: Attack,
        /// Its sockets, that of observers first.
        sockets: Vec<PathBuf>,
    },
    /// Another user, who only computes.
    Burner {
        /// How much in each part of the time.
        plan: String,
    },
    /// Another user, who asks for the state.
    Reader {
        /// The socket of observers.
        socket: PathBuf,
        /// How often.
        times: u32,
    },
}

impl Options {
    /// What to measure.
    pub(crate) fn rows(&self) -> Vec<Row> {
        if self.rows.is_empty() {
            return Row::value_variants().to_vec();
        }
        self.rows.clone()
    }

    /// How many times.
    pub(crate) fn runs(&self) -> usize {
        self.runs
            .map_or(if self.quick { 1 } else { RUNS }, usize::from)
    }
}
