// SPDX-License-Identifier: GPL-3.0-or-later
//! Several runs side by side, each a process of its own with a lab of its own.

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use crate::options::{Campaign, Layout};
use crate::report::{Report, Verdict, output, table};

/// A run to be made.
#[derive(Clone, Copy, Debug)]
struct Job {
    layout: Layout,
    seed: u64,
}

/// Makes all runs and prints one table.
pub(crate) fn main(campaign: &Campaign) -> anyhow::Result<Verdict> {
    let seeds = campaign.first_seed..campaign.first_seed + campaign.seeds;
    let jobs: Vec<Job> = seeds
        .flat_map(|seed| {
            let layouts = [Layout::DropIn, Layout::Units];
            layouts.map(|layout| Job { layout, seed })
        })
        .collect();
    if !campaign.setting.json {
        let first = campaign.first_seed;
        println!("{} runs, the first seed is {first}", jobs.len());
    }
    let count = campaign
        .jobs
        .and_then(|jobs| usize::try_from(jobs).ok())
        .unwrap_or(jobs.len());
    let left = Mutex::new(VecDeque::from(jobs));
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                // The lock is not held while a run is made.
                let next = || {
                    left.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front()
                };
                while let Some(job) = next() {
                    let result = run(job, campaign);
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (reports, failures): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let mut reports: Vec<Report> = reports.into_iter().flatten().collect();
    reports.sort_by_key(|report| (report.layout.name(), report.seed));
    if campaign.setting.json {
        println!("{}", serde_json::to_string(&reports)?);
    } else {
        print(&reports);
    }
    if let Some(failure) = failures.into_iter().find_map(Result::err) {
        return Err(failure);
    }
    let clean = reports.iter().all(|it| it.verdict() == Verdict::Clean);
    Ok(if clean {
        Verdict::Clean
    } else {
        Verdict::Faulty
    })
}

fn print(reports: &[Report]) {
    for report in reports.iter().filter(|it| !it.faults.is_empty()) {
        println!("\nseed {}, layout {}", report.seed, report.layout.name());
        print!("{}", output::details(report));
    }
    print!("\n{}", table::several(reports));
}

/// Makes one run. The run ends when the thread that started it ends, so the thread must wait for
/// it.
fn run(job: Job, campaign: &Campaign) -> anyhow::Result<Report> {
    let setting = &campaign.setting;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--json", "--layout", job.layout.name()])
        .args(["--seed", &job.seed.to_string()])
        .args(["--seconds", &setting.seconds.to_string()])
        .args(["--peers", &setting.peers.to_string()])
        .args(["--pace", &setting.pace.to_string()])
        .args(["--histories", &setting.histories.to_string()])
        .args(["--parent", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for fault in &setting.only {
        command.arg("--only").arg(fault);
    }
    if setting.keep {
        command.arg("--keep");
    }
    if let Some(programs) = &setting.bin {
        command.arg("--bin").arg(programs);
    }
    let output = command.output().context("cannot start a run")?;
    let report: Report = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "the run with seed {} and layout {} failed: {}",
            job.seed,
            job.layout.name(),
            output.status
        )
    })?;
    if !setting.json {
        eprintln!(
            "seed {}, layout {}: {} faults",
            report.seed,
            report.layout.name(),
            report.faults.len()
        );
    }
    Ok(report)
}
