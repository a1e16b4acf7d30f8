// SPDX-License-Identifier: GPL-3.0-or-later
//! Stuck scripts: a hundred that do not end and ten that flood their output, beside the same
//! service without them. Control and pings must not notice; memory must be bounded.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use connect_ipc::control::Request;
use peerdb::Record;
use scenarios::Service;

use super::{Effort, Found, control, progress};
use crate::measure::arrivals::Arrivals;
use crate::measure::figures::{Samples, columns};
use crate::measure::process;
use crate::operator::Operator;
use crate::report::Line;
use crate::rig::{self, Rig, Setup, commands};

const PERIOD: Duration = Duration::from_secs(1);

/// How many scripts never end while this is measured, and how many flood.
const SLEEPERS: usize = 100;
const FLOODERS: usize = 10;

/// How much more memory all of them may take, in MiB: the helper keeps 8 MiB of unread output, core
/// and the sockets as much again, and each script has its buffers.
const MORE_MEMORY: f64 = 32.0;

/// What counts as noise: this many times the figure without the scripts.
const NOISE: f64 = 1.5;

/// What is looked at: control's p99 in microseconds, lateness's p99 in milliseconds.
type Look = [f64; 2];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(1_000, 100);
    let (mut with, mut without): (Vec<Look>, Vec<Look>) = (Vec::new(), Vec::new());
    let mut memory = Vec::new();
    while effort.goes_on(columns(&with).into_iter().chain(columns(&without))) {
        let run = with.len() + 1;
        let rig = rig(peers, effort)?;
        let look = |length| look(&rig, peers, length);
        let length = effort.pick(Duration::from_secs(5), Duration::from_secs(1));
        without.push(look(length)?);
        let before = all_memory(&rig)?;
        kick(&rig, peers)?;
        with.push(look(length)?);
        memory.push((all_memory(&rig)? - before) / 1024.0 / 1024.0);
        progress(&format!(
            "stuck: run {run}: control p99 us and lateness p99 ms: with {:.2?}, without {:.2?}; \
             {:.1} MiB more",
            with.last().unwrap_or(&[0.0; 2]),
            without.last().unwrap_or(&[0.0; 2]),
            memory.last().unwrap_or(&0.0)
        ));
    }
    let quantity = "100 stuck scripts and 10 that flood";
    let baseline = "without them";
    for (at, (what, unit)) in [("control p99", "us"), ("lateness of pings p99", "ms")]
        .into_iter()
        .enumerate()
    {
        let of = |runs: &[Look]| runs.iter().map(|look| look[at]).collect::<Vec<f64>>();
        let line = Line::new(quantity, what, unit, of(&with));
        found.lines.extend(line.map(|line| {
            line.baseline(baseline, Ok(of(&without)))
                .at_most_times(NOISE, baseline)
        }));
    }
    let line = Line::new(quantity, "memory of all processes, more", "MiB", memory);
    found
        .lines
        .extend(line.map(|line| line.at_most(MORE_MEMORY)));
    Ok(())
}

/// Peers that are pinged, and after them peers whose scripts are stuck.
fn rig(peers: usize, effort: &Effort) -> anyhow::Result<Rig> {
    let all = peers + SLEEPERS + FLOODERS;
    let mut setup = Setup::new(all, &[]);
    setup.log = commands(peers * 40);
    let mut rig = Rig::without_service(&setup)?;
    // They end by themselves soon after the measurement, whatever happens to it.
    let life = effort.pick(20, 8);
    let records: Vec<Record> = (0..all)
        .map(|n| match n {
            n if n < peers => rig::record(n, &[("every", "1")]),
            n => {
                let stuck = if n < peers + SLEEPERS {
                    format!("exec sleep {life}")
                } else {
                    format!("exec timeout {life} yes")
                };
                Record::new(
                    &rig::name(n),
                    [("peer", rig::address(n)), ("connect", stuck)],
                )
            }
        })
        .collect();
    rig.site.write_database(&records)?;
    rig.service = Some(Service::start(&rig.site, &[])?);
    rig.wait_for_pings(2 * peers as u64)?;
    Ok(rig)
}

fn kick(rig: &Rig, peers: usize) -> anyhow::Result<()> {
    let service = rig.service.as_ref().context("no service")?;
    let mut operator = Operator::connect(service.control())?;
    for n in peers..rig.peers {
        let words = vec!["kick".to_owned(), rig::name(n)];
        operator.ask(Request::Submit { words })?;
    }
    // The flood needs a moment to fill every buffer on its way.
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn look(rig: &Rig, peers: usize, length: Duration) -> anyhow::Result<Look> {
    let service = rig.service.as_ref().context("no service")?;
    let started = Instant::now();
    let mut operator = Operator::connect(service.control())?;
    let mut delays = Vec::new();
    while started.elapsed() < length {
        delays.push(control::ask_once(&mut operator)?);
        // One request in a while, so that the requests themselves are no load.
        std::thread::sleep(Duration::from_millis(2));
    }
    let arrivals = Arrivals::of(&rig.site.lab, peers, PERIOD).context("no pings")?;
    let late = Samples::new(arrivals.lateness_between(started, Instant::now()));
    Ok([Samples::new(delays).percentile(0.99), late.percentile(0.99)])
}

fn all_memory(rig: &Rig) -> anyhow::Result<f64> {
    let mut all = 0;
    for pid in rig.processes()? {
        all += process::pss(pid)?;
    }
    Ok(all as f64)
}
