// SPDX-License-Identifier: GPL-3.0-or-later
//! CPU per ping: processor time of core and pinger over pings done, beside fping and the floor; and
//! of very many peers beside a tenth of them, at the same pace.

use std::time::Duration;

use scenarios::Service;

use super::{Effort, Found, progress};
use crate::baselines::fping::Fping;
use crate::baselines::player::Player;
use crate::measure::window::{self, Cost};
use crate::report::Line;
use crate::report::plot::{Curve, Growth};
use crate::rig::{Helper, Rig, Setup};

const QUANTITY: &str = "CPU per ping, core + pinger";

/// Every peer is pinged once a second, the shortest period there is.
const PERIOD: Duration = Duration::from_secs(1);

/// fping paces itself in one loop and does not reach the pace of more targets than this.
const FPING_MOST: usize = 10_000;

/// How many times what the floor takes a ping may take.
const TIMES: f64 = 1.2;

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
        while effort.goes_on([&runs.ours, &runs.floor, &runs.fping].map(Vec::clone)) {
            let run = runs.ours.len() + 1;
            let (ours, floor) = (ours(&mut rig, effort, &[])?, floor(&rig, effort, PERIOD)?);
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
    wide(effort, found)
}

/// Very many peers, each pinged rarely, compared with a tenth of them: once with the same time
/// between two pings of a peer, once with as many pings a second. The latter shows what grows with
/// the table.
fn wide(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let (peers, every) = effort.pick((100_000, 10), (1_000, 2));
    let seldom = every.to_string();
    let few = peers / usize::try_from(every)?;
    let rig = |peers, every: &str| Rig::without_service(&Setup::new(peers, &[("every", every)]));
    let mut rigs = [rig(peers, &seldom)?, rig(few, &seldom)?, rig(few, "1")?];
    let mut all: [Vec<f64>; 4] = Default::default();
    while effort.goes_on(all.clone()) {
        let mut costs = Vec::new();
        for rig in &mut rigs {
            costs.push(ours(rig, effort, &[])?.micros_each());
        }
        let period = Duration::from_secs(every);
        costs.push(floor(&rigs[0], effort, period)?.micros_each());
        progress(&format!(
            "cpu: {peers} peers every {every} s; {few} peers every {every} s and every 1 s; \
             floor: {costs:.2?} us"
        ));
        for (runs, cost) in all.iter_mut().zip(costs) {
            runs.push(cost);
        }
    }
    let [ours, same_period, same_pings, floor] = all;
    let (period, pings) = (
        "a tenth of the peers, each as often",
        "a tenth, as many pings a second",
    );
    let line = Line::new(
        QUANTITY,
        format!("{peers} peers, each every {every} s"),
        "us",
        ours,
    );
    found.lines.extend(line.map(|line| {
        line.baseline(period, Ok(same_period))
            .baseline(pings, Ok(same_pings))
            .baseline("floor", Ok(floor))
            .at_most_times(1.0, period)
            .at_most_times(1.0, pings)
    }));
    Ok(())
}

fn line(peers: usize, runs: Runs) -> Option<Line> {
    let fping = match runs.fping_missing {
        Some(why) => Err(why),
        None => Ok(runs.fping),
    };
    let line = Line::new(
        QUANTITY,
        format!("{peers} peers, each every 1 s"),
        "us",
        runs.ours,
    )?
    .baseline("fping", fping)
    .baseline("floor", Ok(runs.floor));
    // At 50,000 the floor is none; see the document.
    Some(match peers {
        100 => line.at_most_times(TIMES, "floor"),
        1_000 | 10_000 => line
            .at_most_times(1.0, "fping")
            .at_most_times(TIMES, "floor"),
        _ => line,
    })
}

/// The service, started again on the rig's server, with these options.
pub(super) fn ours(rig: &mut Rig, effort: &Effort, options: &[&str]) -> anyhow::Result<Cost> {
    let before = rig.pings()?;
    rig.service = Some(Service::start(&rig.site, options)?);
    // Twice round, so that starting is over.
    rig.wait_for_pings(before + 2 * rig.peers as u64)?;
    let processes = [rig.core()?, rig.helper(Helper::Pinger)?];
    let cost = window::watch(&processes, effort.window(), || rig.pings());
    rig.service = None;
    cost
}

fn floor(rig: &Rig, effort: &Effort, period: Duration) -> anyhow::Result<Cost> {
    let before = rig.pings()?;
    let socket = rig.site.lab.socket_path().to_string_lossy().into_owned();
    let (peers, seconds) = (rig.peers.to_string(), period.as_secs().to_string());
    let player = Player::start(&["floor", &socket, &peers, &seconds])?;
    rig.wait_for_pings(before + rig.peers as u64)?;
    window::watch(&[player.pid()?], effort.window(), || rig.pings())
}
