// SPDX-License-Identifier: GPL-3.0-or-later
//! A long run with very many peers, in which memory, descriptors, processor time and the lateness
//! of pings are measured once a second. It fails if one of them grows, or if a peer did not get a
//! ping each second.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use judge::slope;

use crate::measure::arrivals::{Arrivals, pinged};
use crate::measure::figures::{Figures, Samples};
use crate::measure::process;
use crate::report::machine::Machine;
use crate::report::over_time::{self, Plot};
use crate::report::plot::Curve;
use crate::rig::{Rig, Setup, commands};
use crate::rows::progress;

/// How long to run, and with what.
#[derive(Args, Debug)]
pub(crate) struct Endurance {
    /// For how many seconds.
    #[arg(long, value_name = "N", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many peers, each pinged once a second.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    peers: u32,
    /// Write the plots into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const PERIOD: Duration = Duration::from_secs(1);

/// How many pings of each peer pass first. From them follows when each is due.
const WARM_UP: usize = 10;

/// How many looks at the lab's log there are in a second: one alone would keep it from its work for
/// a millisecond.
const LOOKS: u32 = 10;

/// Of how many seconds a plot shows the greatest.
const PLOTTED: usize = 10;

/// After how many seconds a line says how far it is.
const TOLD_EVERY: u32 = 60;

/// Of how many parts of the run the means are taken to which a line is fitted. Values of successive
/// seconds depend on each other, so their number would make the line look too certain.
const MEANS: usize = 60;

/// The processes.
const PARTS: [&str; 3] = ["core", "pinger", "script helper"];

/// How much memory may rise in an hour, in MiB; descriptors; and the lateness of most pings, in
/// milliseconds. Less than that counts as none.
const MEMORY_GROWTH: f64 = 1.0;
const DESCRIPTOR_GROWTH: f64 = 0.5;
const LATENESS_GROWTH: f64 = 0.5;

/// How many times its standard error a rise must be to be believed.
const CERTAIN: f64 = 4.0;

/// How many pings more or less than seconds a peer may have: one at the beginning and one at the
/// end of the time that is counted.
const PINGS_APART: u32 = 2;

const MIB: f64 = 1024.0 * 1024.0;

/// What was seen in one second.
#[derive(Clone, Debug, Default)]
struct Second {
    /// Resident memory of each process, in MiB.
    memory: [f64; 3],
    descriptors: [f64; 3],
    /// Processor time of all processes, in milliseconds.
    cpu: f64,
    pings: f64,
    /// In milliseconds: p50, p99, most.
    late: [f64; 3],
}

/// One quantity of every second.
struct Series {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    /// How much it may rise in an hour, if that is judged.
    most_growth: Option<f64>,
}

impl Endurance {
    /// Runs, prints what was seen, and draws it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if let Some(directory) = &self.out {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let mut machine = Machine::look();
        let peers = self.peers as usize;
        let mut setup = Setup::new(peers, &[("every", "1")]);
        setup.log = commands(peers * (WARM_UP + 10));
        let rig = Rig::start(&setup)?;
        rig.wait_for_pings((peers * WARM_UP) as u64)?;
        let mut watch = Watch::begin(&rig)?;
        let mut seconds = Vec::new();
        // Whatever ends it, what was seen until then is shown.
        let watched = self.watch(&rig, &mut watch, &mut seconds);
        machine.finish();
        let series = series(&seconds);
        print!("{}{}", machine.where_and_load(), table(&series));
        let pings = watch.least_and_most();
        println!(
            "Pings of one peer in {} s: {} to {}",
            seconds.len(),
            pings.0,
            pings.1
        );
        if let Some(directory) = &self.out {
            for plot in plots(&series) {
                let path = directory.join(format!("endurance-{}.svg", plot.file));
                fs::write(&path, over_time::render(&plot)?)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        watched?;
        judge(&series, pings, self.seconds)
    }

    fn watch(&self, rig: &Rig, watch: &mut Watch, seconds: &mut Vec<Second>) -> anyhow::Result<()> {
        for number in 1..=self.seconds {
            let second = watch.second(rig)?;
            if number % TOLD_EVERY == 0 {
                progress(&format!(
                    "endurance: {number} of {} s, {:.1} MiB in all, lateness p99 {:.2} ms",
                    self.seconds,
                    second.memory.iter().sum::<f64>(),
                    second.late[1]
                ));
            }
            seconds.push(second);
        }
        Ok(())
    }
}

/// Looks at a rig again and again.
struct Watch {
    processes: [i32; 3],
    arrivals: Arrivals,
    /// The number of the lab's next event.
    next: u64,
    /// When the present second is over.
    until: Instant,
    cpu: Duration,
    /// When the last ping of each peer came.
    last: Vec<Option<Instant>>,
    /// How many pings of each peer there were.
    pings: Vec<u32>,
}

impl Watch {
    fn begin(rig: &Rig) -> anyhow::Result<Self> {
        let arrivals = Arrivals::of(&rig.site.lab, rig.peers, PERIOD).context("no ping came")?;
        let mut watch = Watch {
            processes: rig.processes()?,
            arrivals,
            next: rig.site.lab.event_count(),
            until: Instant::now() + PERIOD,
            cpu: Duration::ZERO,
            last: vec![None; rig.peers],
            pings: vec![0; rig.peers],
        };
        // The first second is not counted, since the lab has waited while its log was read.
        watch.second(rig)?;
        watch.pings.fill(0);
        Ok(watch)
    }

    /// Waits for the end of the present second, and says what it saw.
    fn second(&mut self, rig: &Rig) -> anyhow::Result<Second> {
        let mut late = Vec::new();
        for look in (0..LOOKS).rev() {
            let at = self.until - PERIOD / LOOKS * look;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            self.look(rig, &mut late)?;
        }
        self.until += PERIOD;
        let mut cpu = Duration::ZERO;
        let mut second = Second {
            pings: late.len() as f64,
            late: lateness(late),
            ..Second::default()
        };
        for (at, (pid, part)) in self.processes.into_iter().zip(PARTS).enumerate() {
            let ended = || format!("the {part}, process {pid}, has ended");
            cpu += process::cpu_time(pid).with_context(ended)?;
            second.memory[at] = process::resident(pid).with_context(ended)? as f64 / MIB;
            second.descriptors[at] = process::descriptors(pid).with_context(ended)? as f64;
        }
        // A thread that has ended takes its time with it.
        let spent = cpu.saturating_sub(std::mem::replace(&mut self.cpu, cpu));
        second.cpu = spent.as_secs_f64() * 1e3;
        Ok(second)
    }

    /// Takes the pings that have come since the last look.
    fn look(&mut self, rig: &Rig, late: &mut Vec<f64>) -> anyhow::Result<()> {
        for event in rig.site.lab.events_since(self.next) {
            ensure!(
                event.number == self.next,
                "this program stood still so long that the lab's log has forgotten pings"
            );
            self.next = event.number + 1;
            if let Some(peer) = pinged(&event.what) {
                let before = self.last[peer].replace(event.at);
                late.push(self.arrivals.late(peer, before, event.at));
                self.pings[peer] += 1;
            }
        }
        Ok(())
    }

    /// The fewest and the most pings that any peer had.
    fn least_and_most(&self) -> (u32, u32) {
        let of = |pick: Option<&u32>| pick.copied().unwrap_or_default();
        (of(self.pings.iter().min()), of(self.pings.iter().max()))
    }
}

/// Whether all stayed as it was, and each peer had its pings.
fn judge(series: &[Series], (least, most): (u32, u32), seconds: u32) -> anyhow::Result<()> {
    let grown: Vec<&str> = series
        .iter()
        .filter(|it| it.has_grown())
        .map(|it| it.name.as_str())
        .collect();
    ensure!(grown.is_empty(), "these have grown: {}", grown.join("; "));
    ensure!(
        least + PINGS_APART >= seconds && most <= seconds + PINGS_APART,
        "in {seconds} s one peer had {least} pings, and another {most}"
    );
    Ok(())
}

/// The percentiles of a second; no numbers if no ping came.
fn lateness(late: Vec<f64>) -> [f64; 3] {
    if late.is_empty() {
        return [f64::NAN; 3];
    }
    let late = Samples::new(late);
    [late.percentile(0.5), late.percentile(0.99), late.max()]
}

fn series(seconds: &[Second]) -> Vec<Series> {
    let of = |name: String, unit, most_growth, pick: &dyn Fn(&Second) -> f64| Series {
        name,
        unit,
        values: seconds.iter().map(pick).collect(),
        most_growth,
    };
    let mut all = Vec::new();
    for (at, part) in PARTS.into_iter().enumerate() {
        let name = format!("memory, {part}");
        all.push(of(name, "MiB", Some(MEMORY_GROWTH), &|it| it.memory[at]));
    }
    for (at, part) in PARTS.into_iter().enumerate() {
        let name = format!("descriptors, {part}");
        all.push(of(name, "", Some(DESCRIPTOR_GROWTH), &|it| {
            it.descriptors[at]
        }));
    }
    all.push(of("CPU in a second".into(), "ms", None, &|it| it.cpu));
    all.push(of("pings in a second".into(), "", None, &|it| it.pings));
    let late = Some(LATENESS_GROWTH);
    for (at, (what, bound)) in [("p50", late), ("p99", late), ("most", None)]
        .into_iter()
        .enumerate()
    {
        let name = format!("lateness, {what}");
        all.push(of(name, "ms", bound, &|it| it.late[at]));
    }
    all
}

/// A row for each quantity.
fn table(series: &[Series]) -> String {
    let header = format!(
        "First and last: medians of the first and the last tenth of the run. An hour: how\n\
         much a line rises that is fitted to the means of {MEANS} parts, without the first\n\
         tenth, with its standard error.\n\n\
         {:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
        "", "first", "last", "least", "most", "an hour", "error"
    );
    header + &series.iter().map(Series::row).collect::<String>()
}

impl Series {
    fn row(&self) -> String {
        let tenth = self.values.len().div_ceil(10);
        let median = |values: &[f64]| {
            Figures::of(values.to_vec()).map_or(f64::NAN, |figures| figures.median)
        };
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let (slope, error) = self.rise(tenth).unwrap_or((f64::NAN, f64::NAN));
        format!(
            "{:<26}{:>9.2}{:>9.2}{least:>9.2}{most:>9.2}{slope:>+9.3}{error:>9.3}\n",
            [self.name.as_str(), self.unit].join(" ").trim_end(),
            median(&self.values[..tenth]),
            median(&self.values[self.values.len() - tenth..]),
        )
    }

    /// Whether it rises for certain, and by more than it may.
    fn has_grown(&self) -> bool {
        let rise = self.rise(self.values.len().div_ceil(10));
        let is_growth = |(rise, error): (f64, f64), most| rise > most && rise > CERTAIN * error;
        rise.zip(self.most_growth)
            .is_some_and(|(rise, most)| is_growth(rise, most))
    }

    /// How much the line rises in an hour that is fitted to the means of the parts of the run,
    /// without its first `left_out` seconds, and the standard error of that.
    fn rise(&self, left_out: usize) -> Option<(f64, f64)> {
        let part = self.values.len().div_ceil(MEANS).max(1);
        let counted = self.values.get(left_out..)?;
        let means = counted.chunks_exact(part).enumerate().map(|(at, values)| {
            let mean = values.iter().sum::<f64>() / part as f64;
            ((at * part) as f64, mean)
        });
        let line = slope::fit(&means.collect::<Vec<_>>())?;
        Some((line.slope * 3_600.0, line.error * 3_600.0))
    }
}

fn plots(series: &[Series]) -> Vec<Plot> {
    let plot = |file: &str, title: &str| Plot {
        file: file.to_owned(),
        title: title.to_owned(),
        curves: series
            .iter()
            .filter_map(|it| {
                let name = it.name.strip_prefix(file)?.strip_prefix(", ")?;
                let greatest = it.values.chunks(PLOTTED).enumerate().map(|(at, part)| {
                    let minutes = ((at + 1) * PLOTTED) as f64 / 60.0;
                    (minutes, part.iter().copied().fold(0.0, f64::max))
                });
                Some(Curve {
                    name: name.to_owned(),
                    points: greatest.collect(),
                })
            })
            .collect(),
    };
    vec![
        plot("memory", "Resident memory in MiB"),
        plot("descriptors", "Open descriptors"),
        plot("lateness", "Lateness of pings in ms"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_pings_has_no_lateness() {
        assert!(lateness(Vec::new()).iter().all(|late| late.is_nan()));
        assert_eq!(lateness(vec![1.0, 3.0]), [1.0, 3.0, 3.0]);
    }

    /// Ten minutes in which the memory of core grows by so many MiB an hour.
    fn grows(by: f64) -> Vec<Series> {
        let second = |at| Second {
            memory: [10.0 + by * f64::from(at) / 3_600.0, 2.0, 3.0],
            ..Second::default()
        };
        series(&(0..600).map(second).collect::<Vec<_>>())
    }

    #[test]
    fn what_grows_and_what_is_pinged_too_seldom_or_too_often_is_a_failure() {
        let why = |series: &[Series], pings| {
            let judged = judge(series, pings, 600);
            judged.err().map(|error| error.to_string())
        };
        assert_eq!(why(&grows(0.9), (598, 602)), None);
        let grown = Some("these have grown: memory, core".to_owned());
        assert_eq!(why(&grows(1.1), (600, 600)), grown);
        for pings in [(597, 600), (600, 603), (0, 0)] {
            assert!(why(&grows(0.0), pings).is_some(), "{pings:?}");
        }
    }

    #[test]
    fn a_quantity_that_grows_is_seen_in_its_row_and_its_plot() {
        let series = grows(1.0);
        let table = table(&series);
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        let row = |name: &str| -> Vec<f64> {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            let numbers = line[26..].split_whitespace();
            numbers.map(|number| number.parse().unwrap()).collect()
        };
        assert_eq!(row("memory, core MiB")[4], 1.0);
        let steady = [2.0, 2.0, 2.0, 2.0, 0.0, 0.0];
        assert_eq!(row("memory, pinger MiB"), steady);
        let plots = plots(&series);
        let counts: Vec<usize> = plots.iter().map(|plot| plot.curves.len()).collect();
        assert_eq!(counts, [3, 3, 3]);
        assert_eq!(plots[0].curves[0].points.len(), 60);
    }
}
