// SPDX-License-Identifier: GPL-3.0-or-later
//! CPU per ping: processor time of core and pinger over pings done, beside fping and the floor.

use std::time::Duration;

use scenarios::Service;

use super::{Effort, Found, progress};
use crate::baselines::fping::Fping;
use crate::baselines::player::Player;
use crate::measure::window::{self, Cost};
use crate::report::Line;
use crate::report::plot::{Curve, Growth};
use crate::rig::{Helper, Rig, Setup};

/// Every peer is pinged once a second, the shortest period there is.
const PERIOD: Duration = Duration::from_secs(1);

/// fping paces itself in one loop and does not reach the pace of more targets than this.
const FPING_MOST: usize = 10_000;

/// One condition's runs.
#[derive(Default)]
struct Runs {
    ours: Vec<f64>,
    floor: Vec<f64>,
    fping: Vec<f64>,
    fping_missing: Option<String>,
}

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let sizes: &[usize] = effort.pick(&[100, 1_000, 10_000, 50_000], &[100, 1_000]);
    let mut curves = ["core + pinger", "floor", "fping"].map(|name| Curve {
        name: name.into(),
        points: Vec::new(),
    });
    for peers in sizes.iter().copied() {
        let mut rig = Rig::without_service(&Setup::new(peers, &[("every", "1")]))?;
        let mut runs = Runs::default();
        for run in 1..=effort.runs {
            let (ours, floor) = (ours(&mut rig, effort)?, floor(&rig, effort)?);
            progress(&format!(
                "cpu: {peers} peers, run {run}: ours {:.2} us at {:.0}/s, floor {:.2} us at {:.0}/s",
                ours.micros_each(),
                ours.per_second(),
                floor.micros_each(),
                floor.per_second()
            ));
            runs.ours.push(ours.micros_each());
            runs.floor.push(floor.micros_each());
            if peers > FPING_MOST {
                runs.fping_missing = Some("cannot keep this pace".to_owned());
                continue;
            }
            match Fping::start(peers, PERIOD).and_then(|fping| fping.cost(effort.window())) {
                Ok(cost) => {
                    progress(&format!(
                        "cpu: {peers} peers, run {run}: fping {:.2} us at {:.0}/s",
                        cost.micros_each(),
                        cost.per_second()
                    ));
                    runs.fping.push(cost.micros_each());
                }
                Err(error) => runs.fping_missing = Some(format!("{error:#}")),
            }
        }
        for (curve, values) in curves
            .iter_mut()
            .zip([&runs.ours, &runs.floor, &runs.fping])
        {
            let figures = crate::measure::figures::Figures::of(values.clone());
            let median = figures.map(|figures| (peers as f64, figures.median));
            curve.points.extend(median);
        }
        found.lines.extend(line(peers, runs));
    }
    found.growth.push(Growth {
        file: "cpu-per-ping".into(),
        title: "CPU per ping in microseconds, every peer pinged once a second".into(),
        curves: curves.into(),
    });
    Ok(())
}

fn line(peers: usize, runs: Runs) -> Option<Line> {
    let fping = match runs.fping_missing {
        Some(why) => Err(why),
        None => Ok(runs.fping),
    };
    let line = Line::new(
        "CPU per ping, core + pinger",
        format!("{peers} peers, each every 1 s"),
        "us",
        runs.ours,
    )?
    .baseline("fping", fping)
    .baseline("floor", Ok(runs.floor));
    // The bars hold for 1,000 and 10,000 peers; the rest shows how it grows.
    Some(match peers {
        1_000 | 10_000 => line.at_most_times(1.0, "fping").at_most_times(3.0, "floor"),
        _ => line,
    })
}

/// The service, started again on the rig's server.
fn ours(rig: &mut Rig, effort: &Effort) -> anyhow::Result<Cost> {
    let before = rig.pings()?;
    rig.service = Some(Service::start(&rig.site, &[])?);
    // Twice round, so that starting is over.
    rig.wait_for_pings(before + 2 * rig.peers as u64)?;
    let processes = [rig.core()?, rig.helper(Helper::Pinger)?];
    let cost = window::watch(&processes, effort.window(), || rig.pings());
    rig.service = None;
    cost
}

fn floor(rig: &Rig, effort: &Effort) -> anyhow::Result<Cost> {
    let before = rig.pings()?;
    let socket = rig.site.lab.socket_path().to_string_lossy().into_owned();
    let player = Player::start(&["floor", &socket, &rig.peers.to_string()])?;
    rig.wait_for_pings(before + rig.peers as u64)?;
    window::watch(&[player.pid()?], effort.window(), || rig.pings())
}
