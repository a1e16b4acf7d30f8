// SPDX-License-Identifier: GPL-3.0-or-later
//! Wake-ups a second while nothing is due: what the service costs a machine that has nothing to do.

use std::time::{Duration, Instant};

use super::{Effort, Found, progress};
use crate::measure::process;
use crate::report::Line;
use crate::rig::{Rig, Setup};

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(1_000, 100);
    // A thousand pings a day are one in 86 seconds, and the first comes at once.
    let setup = Setup::new(peers, &[("every", "1d")]);
    let mut rig = Rig::without_service(&setup)?;
    rig.service = Some(scenarios::Service::start(&rig.site, &[])?);
    rig.wait_for_pings(1)?;
    // Starting ends with the answers to a few thousand questions.
    std::thread::sleep(Duration::from_secs(2));
    let names = ["core", "pinger", "script helper"];
    let mut all: [Vec<f64>; 3] = Default::default();
    while effort.goes_on(all.clone()) {
        let processes = rig.processes()?;
        let count = || -> anyhow::Result<Vec<u64>> {
            processes.iter().map(|pid| process::wakeups(*pid)).collect()
        };
        let (started, before) = (Instant::now(), count()?);
        std::thread::sleep(effort.pick(Duration::from_secs(10), Duration::from_secs(2)));
        let (seconds, after) = (started.elapsed().as_secs_f64(), count()?);
        for (runs, (after, before)) in all.iter_mut().zip(after.iter().zip(&before)) {
            runs.push((after - before) as f64 / seconds);
        }
    }
    for (name, runs) in names.into_iter().zip(all) {
        progress(&format!("idle: {name}: {runs:.2?} wake-ups a second"));
        let condition = format!("{name}, {peers} idle peers");
        let line = Line::new("Wake-ups while nothing is due", condition, "1/s", runs);
        found.lines.extend(line);
    }
    Ok(())
}
