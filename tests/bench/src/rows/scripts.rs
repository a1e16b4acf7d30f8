// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts: from the command that starts one to the first line of the child; beside a bare loop
//! that spawns the same children. The children write into a pipe that the benchmark reads.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::{Reply, Request};
use connect_ipc::event::EventName;
use connect_ipc::event_filter::EventFilter;
use peerdb::Record;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use scenarios::Service;

use super::{Effort, Found, progress};
use crate::measure::figures::{Samples, columns};
use crate::measure::process;
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Helper, Rig, Setup};

/// How many times as long as with a bare spawn the middle one may take.
const P50_TIMES: f64 = 1.15;

/// The same for the late ones, where many run at a time; and where one runs.
const P99_TIMES: [f64; 2] = [1.25, 2.0];

/// How much processor time of ours a run may take, in microseconds.
const CPU: f64 = 120.0;

/// How often both take turns in a run.
const TURNS: usize = 5;

/// The most scripts at a time, and so the number of peers.
const MOST: usize = 100;

/// What one way of running children gave: delays in milliseconds, and processor time of the
/// parents.
#[derive(Default)]
struct Ran {
    delays: Vec<f64>,
    cpu: Duration,
}

impl Ran {
    fn add(&mut self, more: Ran) {
        self.delays.extend(more.delays);
        self.cpu += more.cpu;
    }

    /// The middle and the late delays, and microseconds of processor time for each child.
    fn summary(self) -> [f64; 3] {
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.delays.len().max(1) as f64;
        let delays = Samples::new(self.delays);
        [delays.percentile(0.5), delays.percentile(0.99), cpu]
    }
}

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let mut rig = Rig::without_service(&Setup::new(MOST, &[]))?;
    let fifo = rig.site.path("first-lines");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0)?;
    let records: Vec<Record> = (0..MOST)
        .map(|n| {
            Record::new(
                &rig::name(n),
                [("peer", rig::address(n)), ("connect", line(n, &fifo))],
            )
        })
        .collect();
    rig.site.write_database(&records)?;
    rig.service = Some(Service::start(&rig.site, &[])?);
    if let Some(service) = &mut rig.service {
        service.wait_until_settled(&rig.site)?;
    }
    // Opened for writing as well, so that it never ends between two children.
    let pipe = File::options().read(true).write(true).open(&fifo)?;
    let mut lines = BufReader::new(pipe);
    for at_once in [1, 16, MOST] {
        let rounds = effort.pick(MOST * 3, 16).div_ceil(at_once * TURNS).max(1);
        let (mut ours, mut bare): (Vec<[f64; 3]>, Vec<[f64; 3]>) = (Vec::new(), Vec::new());
        while effort.goes_on(columns(&ours).into_iter().chain(columns(&bare))) {
            let (mut run_ours, mut run_bare) = (Ran::default(), Ran::default());
            for _ in 0..TURNS {
                run_ours.add(service(&rig, at_once, rounds, &mut lines)?);
                run_bare.add(spawn_bare(&fifo, at_once, rounds, &mut lines)?);
            }
            let both = [run_ours, run_bare].map(Ran::summary);
            progress(&format!(
                "scripts: {at_once} at a time, run {}: p50, p99 ms and CPU us: ours {:.2?}, \
                 bare {:.2?}",
                ours.len() + 1,
                both[0],
                both[1]
            ));
            ours.push(both[0]);
            bare.push(both[1]);
        }
        found.lines.extend(rows(at_once, &ours, &bare));
    }
    Ok(())
}

fn rows(at_once: usize, ours: &[[f64; 3]], bare: &[[f64; 3]]) -> Vec<Line> {
    let baseline = "bare posix_spawn";
    let p99_times = P99_TIMES[usize::from(at_once == 1)];
    let (ours, bare) = (columns(ours), columns(bare));
    [
        ("p50 to the first line", "ms", Some(P50_TIMES)),
        ("p99 to the first line", "ms", Some(p99_times)),
        ("own CPU a run", "us", None),
    ]
    .into_iter()
    .zip(ours.into_iter().zip(bare))
    .filter_map(|((what, unit, times), (ours, bare))| {
        let condition = format!("{what}, {at_once} at a time");
        let line = Line::new("Scripts", condition, unit, ours)?.baseline(baseline, Ok(bare));
        Some(match times {
            Some(times) => line.at_most_times(times, baseline),
            None => line.at_most(CPU),
        })
    })
    .collect()
}

/// The shell command of one peer: its number, into the pipe.
fn line(n: usize, fifo: &Path) -> String {
    format!("echo {n} > {}", fifo.display())
}

/// Waits for the first lines of so many children and gives when each came.
fn first_lines(count: usize, lines: &mut BufReader<File>) -> anyhow::Result<Vec<Instant>> {
    let mut times = Vec::with_capacity(count);
    let mut line = String::new();
    while times.len() < count {
        line.clear();
        lines.read_line(&mut line)?;
        times.push(Instant::now());
    }
    Ok(times)
}

fn service(
    rig: &Rig,
    at_once: usize,
    rounds: usize,
    lines: &mut BufReader<File>,
) -> anyhow::Result<Ran> {
    let service = rig.service.as_ref().context("no service")?;
    let mut operator = Operator::connect(service.control())?;
    let mut watcher = Operator::connect(service.control())?;
    watcher.ask(Request::Events(EventFilter {
        kinds: [EventName::Ended].into_iter().collect(),
        ..EventFilter::default()
    }))?;
    let processes = [rig.core()?, rig.helper(Helper::Scripts)?];
    let cpu = || -> anyhow::Result<Duration> {
        processes.iter().map(|pid| process::cpu_time(*pid)).sum()
    };
    let before = cpu()?;
    let mut delays = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        for n in 0..at_once {
            let words = vec!["kick".to_owned(), rig::name(n)];
            operator.send(Request::Submit { words })?;
        }
        for at in first_lines(at_once, lines)? {
            delays.push((at - started).as_secs_f64() * 1e3);
        }
        for _ in 0..at_once {
            anyhow::ensure!(matches!(operator.reply()?, Reply::Done {}), "not kicked");
        }
        for _ in 0..at_once {
            anyhow::ensure!(matches!(watcher.reply()?, Reply::Event(_)), "no end");
        }
    }
    let cpu = cpu()?.saturating_sub(before);
    Ok(Ran { delays, cpu })
}

fn spawn_bare(
    fifo: &Path,
    at_once: usize,
    rounds: usize,
    lines: &mut BufReader<File>,
) -> anyhow::Result<Ran> {
    let before = own_cpu()?;
    let mut delays = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        let mut children = Vec::with_capacity(at_once);
        for n in 0..at_once {
            let child = Command::new("/bin/sh")
                .arg("-c")
                .arg(line(n, fifo))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            children.push(child);
        }
        for at in first_lines(at_once, lines)? {
            delays.push((at - started).as_secs_f64() * 1e3);
        }
        for mut child in children {
            child.wait()?;
        }
    }
    let cpu = own_cpu()?.saturating_sub(before);
    Ok(Ran { delays, cpu })
}

/// Processor time of this very thread.
fn own_cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanos))
}
