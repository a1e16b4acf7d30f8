// SPDX-License-Identifier: GPL-3.0-or-later
//! Memory a peer: the slope of the summed memory of all our processes over the number of peers; and
//! all of it, with very many.

use std::time::Duration;

use super::{Effort, Found, progress};
use crate::baselines::bfd::{Daemon, Sessions};
use crate::baselines::fping::Fping;
use crate::measure::figures::Figures;
use crate::measure::process;
use crate::report::Line;
use crate::report::plot::{Curve, Growth};
use crate::rig::{Rig, Setup};

/// How much one peer may take, over all processes, with [`MANY`] peers.
const MOST: f64 = 1_000.0;

const MANY: usize = 10_000;

/// How much all processes may take with [`VERY_MANY`] peers, in MiB.
const MOST_IN_ALL: f64 = 110.0;

const VERY_MANY: usize = 100_000;

const IN_ALL: &str = "Memory of all processes";

const MIB: f64 = 1024.0 * 1024.0;

/// How long a memory figure may settle after the last peer was pinged.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let sizes: &[usize] = effort.pick(&[100, 1_000, MANY, VERY_MANY], &[100, 1_000]);
    let mut ours = Curve {
        name: "all our processes".into(),
        points: Vec::new(),
    };
    let mut fping = Curve {
        name: "fping".into(),
        points: Vec::new(),
    };
    let mut empty = Vec::new();
    let mut fping_empty = Vec::new();
    for _ in 0..effort.runs {
        empty.push(service(0)?);
        fping_empty.push(of_fping(1));
    }
    let median = |runs| Figures::of(runs).map_or(0.0, |figures| figures.median);
    let empty = median(empty);
    let fping_empty = fping_empty
        .into_iter()
        .collect::<Result<_, _>>()
        .map(median);
    for peers in sizes.iter().copied() {
        let (mut slopes, mut in_all) = (Vec::new(), Vec::new());
        let mut theirs: Result<Vec<f64>, String> = Ok(Vec::new());
        while effort.goes_on([slopes.clone(), theirs.clone().unwrap_or_default()]) {
            let run = slopes.len() + 1;
            let all = service(peers)?;
            in_all.push(all / MIB);
            slopes.push((all - empty) / peers as f64);
            let some = of_fping(peers);
            progress(&format!(
                "memory: {peers} peers, run {run}: {:.0} KiB in all, fping {:.0} KiB",
                all / 1024.0,
                some.as_ref().copied().unwrap_or(f64::NAN) / 1024.0
            ));
            theirs = theirs.and_then(|mut runs| {
                runs.push((some? - fping_empty.clone()?) / peers as f64);
                Ok(runs)
            });
        }
        let Some(line) = Line::new(
            "Memory a peer, all processes, above none",
            format!("0 to {peers} peers"),
            "B",
            slopes,
        ) else {
            continue;
        };
        let line = line
            .baseline("fping", theirs)
            .baseline(Daemon::Bfdd.name(), of_daemon(Daemon::Bfdd, peers, effort))
            .baseline(
                Daemon::Keepalived.name(),
                of_daemon(Daemon::Keepalived, peers, effort),
            );
        ours.points.push((peers as f64, line.ours.median));
        if let Some(median) = line.median_of("fping") {
            fping.points.push((peers as f64, median));
        }
        // With few peers the grain of pages hides the slope.
        found.lines.push(if peers == MANY {
            line.at_most(MOST)
        } else {
            line
        });
        if peers == *sizes.last().unwrap_or(&0) {
            let line = Line::new(IN_ALL, format!("{peers} peers"), "MiB", in_all);
            found
                .lines
                .extend(line.map(|line| line.at_most(MOST_IN_ALL)));
        }
    }
    found.growth.push(Growth {
        file: "memory-per-peer".into(),
        title: "Memory a peer in bytes, above a service without peers".into(),
        curves: vec![ours, fping],
    });
    Ok(())
}

/// Memory a session of another program, above the same with one session; or why there is none.
fn of_daemon(daemon: Daemon, peers: usize, effort: &Effort) -> Result<Vec<f64>, String> {
    if effort.quick && peers > 100 {
        return Err("not with --quick".to_owned());
    }
    let pss = |count| Sessions::start(daemon, count)?.pss();
    let slope = || -> anyhow::Result<f64> { Ok((pss(peers)? - pss(1)?) / (peers - 1) as f64) };
    let mut slopes = Vec::new();
    while effort.goes_on([slopes.clone()]) {
        slopes.push(slope().map_err(|error| error.to_string())?);
    }
    Ok(slopes)
}

/// Memory of all our processes once every peer was pinged.
fn service(peers: usize) -> anyhow::Result<f64> {
    // The pace must be one that the machine keeps up with.
    let every = if peers > MANY { "10" } else { "1" };
    let rig = Rig::start(&Setup::new(peers, &[("every", every)]))?;
    if peers <= MANY {
        rig.wait_for_pings(2 * peers as u64)?;
    }
    std::thread::sleep(SETTLE);
    let mut all = 0;
    for pid in rig.processes()? {
        all += process::pss(pid)?;
    }
    Ok(all as f64)
}

fn of_fping(peers: usize) -> Result<f64, String> {
    let period = Duration::from_secs(if peers > 10_000 { 10 } else { 2 });
    let measure = || -> anyhow::Result<f64> {
        let fping = Fping::start(peers, period)?;
        Ok(process::pss(fping.pid()?)? as f64)
    };
    measure().map_err(|error| format!("{error:#}"))
}
