// SPDX-License-Identifier: GPL-3.0-or-later
//! The quantities, one in each file.

mod control;
mod cpu;
mod database;
mod detection;
mod growth;
mod idle;
mod jobs;
mod memory;
mod neighbours;
mod punctuality;
mod recorder;
mod restart;
mod scripts;
mod server_restart;
mod start;
mod state;
mod stuck;
mod wakeups;

use std::time::Duration;

use clap::ValueEnum;

use crate::measure::figures::Figures;
use crate::report::Line;
use crate::report::plot::Growth;

/// A quantity that can be chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Row {
    /// Processor time of core and pinger for each ping.
    Cpu,
    /// Memory for each peer.
    Memory,
    /// How late pings are, and whether that grows.
    Punctuality,
    /// How soon silent peers are found out.
    Detection,
    /// How long starting with many peers takes.
    Start,
    /// How long a changed database takes to be applied.
    Database,
    /// How long scripts take to begin.
    Scripts,
    /// What stuck scripts disturb.
    Stuck,
    /// Requests and events on the control socket.
    Control,
    /// Commands of the service, through the server.
    Jobs,
    /// What the death of a helper costs.
    Restart,
    /// What a restart of the server costs that has many peers.
    ServerRestart,
    /// Wake-ups while nothing is due.
    Idle,
    /// Wake-ups for each ping of a small site.
    Wakeups,
    /// The state of very many peers, at the one who asked for it.
    State,
    /// What the recorder costs.
    Recorder,
    /// How times grow with the number of peers.
    Growth,
    /// What other users of the host can do to the service.
    Neighbours,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many times each figure is measured.
    pub runs: usize,
    /// Only see that everything works: few peers, short.
    pub quick: bool,
}

impl Effort {
    /// The value for a full measurement, or the one for a quick look.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Whether another run is wanted, by what each figure was in the runs so far: as many as were
    /// asked for, and up to twice as many while the runs of any are far apart.
    pub(crate) fn goes_on(&self, figures: impl IntoIterator<Item = Vec<f64>>) -> bool {
        let (mut done, mut unsteady) = (0, false);
        for runs in figures {
            done = done.max(runs.len());
            unsteady |= Figures::of(runs).is_some_and(|figures| figures.is_unsteady());
        }
        done < self.runs || (unsteady && done < 2 * self.runs)
    }

    /// How long steady processes are watched.
    pub(crate) fn window(&self) -> Duration {
        // Long enough that the clock's grain and a single disturbance do not show.
        self.pick(Duration::from_secs(4), Duration::from_millis(1200))
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Every line of the table.
    pub lines: Vec<Line>,
    /// Every plot.
    pub growth: Vec<Growth>,
}

/// Measures one quantity.
pub(crate) fn measure(row: Row, effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    match row {
        Row::Cpu => cpu::measure(effort, found),
        Row::Memory => memory::measure(effort, found),
        Row::Punctuality => punctuality::measure(effort, found),
        Row::Detection => detection::measure(effort, found),
        Row::Start => start::measure(effort, found),
        Row::Database => database::measure(effort, found),
        Row::Scripts => scripts::measure(effort, found),
        Row::Stuck => stuck::measure(effort, found),
        Row::Control => control::measure(effort, found),
        Row::Jobs => jobs::measure(effort, found),
        Row::Restart => restart::measure(effort, found),
        Row::ServerRestart => server_restart::measure(effort, found),
        Row::Idle => idle::measure(effort, found),
        Row::Wakeups => wakeups::measure(effort, found),
        Row::State => state::measure(effort, found),
        Row::Recorder => recorder::measure(effort, found),
        Row::Growth => growth::measure(effort, found),
        Row::Neighbours => neighbours::measure(effort, found),
    }
}

/// Says on standard error what is going on.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_whose_runs_are_far_apart_are_measured_longer() {
        let effort = Effort {
            runs: 2,
            quick: false,
        };
        assert!(effort.goes_on([vec![], vec![]]));
        assert!(effort.goes_on([vec![1.0]]));
        assert!(!effort.goes_on([vec![1.0, 1.1]]));
        assert!(effort.goes_on([vec![1.0, 1.1], vec![1.0, 2.0]]));
        assert!(effort.goes_on([vec![1.0, 1.1, 2.0]]));
        assert!(!effort.goes_on([vec![1.0, 1.1, 2.0, 3.0]]));
    }
}
