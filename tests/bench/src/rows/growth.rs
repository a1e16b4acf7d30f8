// SPDX-License-Identifier: GPL-3.0-or-later
//! Growth: what takes time in proportion to the number of peers, at three sizes a factor of ten
//! apart; by which power of the number it grows, fitted over the three.

use std::time::Duration;

use anyhow::Context as _;

use super::detection::{self, Fate};
use super::{Effort, Found, database, progress, server_restart, start, state};
use crate::measure::figures::{Figures, columns};
use crate::report::Line;
use crate::report::plot::{Curve, Growth};
use crate::rig::{Rig, Setup, commands};

/// The greatest power that is taken for "in proportion".
const POWER: f64 = 1.1;

/// The least time that counts, in milliseconds: what is below is the grain of clocks.
const LEAST: f64 = 1.0;

/// How often a peer is pinged where silence is to be detected: the pace must be one that the
/// machine keeps up with at every size.
const PERIOD: Duration = Duration::from_secs(5);

/// How many sizes there are.
const SIZES: usize = 3;

/// Something that takes time.
struct Quantity {
    /// What, in the table.
    name: &'static str,
    /// The name of its plot.
    file: &'static str,
    /// Measures it with so many peers, in milliseconds.
    take: fn(usize, &Effort) -> anyhow::Result<f64>,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity {
        name: "start until all are adopted",
        file: "growth-start",
        take: started,
    },
    Quantity {
        name: "detection, beyond the bound",
        file: "growth-detection",
        take: detected,
    },
    Quantity {
        name: "server restart until all are ordered",
        file: "growth-server-restart",
        take: restarted,
    },
    Quantity {
        name: "reload of one record",
        file: "growth-reload",
        take: reloaded,
    },
    Quantity {
        name: "state, at the reader",
        file: "growth-state",
        take: told,
    },
];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let sizes = effort.pick([1_000, 10_000, 100_000], [100, 200, 400]);
    for quantity in QUANTITIES {
        let mut runs: Vec<[f64; SIZES]> = Vec::new();
        while effort.goes_on(columns(&runs)) {
            let mut times = [0.0; SIZES];
            for (time, peers) in times.iter_mut().zip(sizes) {
                *time = (quantity.take)(peers, effort)?;
            }
            progress(&format!(
                "growth: run {}: {}: {times:.1?} ms with {sizes:?} peers, power {:.2}",
                runs.len() + 1,
                quantity.name,
                power(&sizes, &times)
            ));
            runs.push(times);
        }
        tell(&quantity, &sizes, &runs, found);
    }
    Ok(())
}

/// Adds the lines and the plot of one quantity.
fn tell(quantity: &Quantity, sizes: &[usize; SIZES], runs: &[[f64; SIZES]], found: &mut Found) {
    let name = quantity.name;
    let mut points = Vec::new();
    for (peers, times) in sizes.iter().zip(columns(runs)) {
        let each = times.iter().map(|millis| millis * 1e3 / *peers as f64);
        let median = Figures::of(each.collect()).map(|figures| figures.median);
        points.extend(median.map(|micros| (*peers as f64, micros)));
        let condition = format!("{name}, {peers}");
        found
            .lines
            .extend(Line::new("Growth with the peers", condition, "ms", times));
    }
    let powers = runs.iter().map(|times| power(sizes, times)).collect();
    let line = Line::new(
        "Growth with the peers",
        format!("power: {name}"),
        "",
        powers,
    );
    found.lines.extend(line.map(|line| line.at_most(POWER)));
    found.growth.push(Growth {
        file: quantity.file.into(),
        title: format!("{name}: microseconds for each peer"),
        curves: vec![Curve {
            name: "core and its helpers".into(),
            points,
        }],
    });
}

/// The power of the number of peers by which times grow: the slope of the straight line that fits
/// their logarithms best.
fn power(sizes: &[usize; SIZES], times: &[f64; SIZES]) -> f64 {
    let x = sizes.map(|peers| (peers as f64).ln());
    let y = times.map(|millis| millis.max(LEAST).ln());
    let mean = |values: [f64; SIZES]| values.iter().sum::<f64>() / SIZES as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in x.into_iter().zip(y) {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    above / below
}

fn started(peers: usize, _: &Effort) -> anyhow::Result<f64> {
    let mut setup = Setup::new(peers, &state::KEYS);
    setup.log = commands(peers * 8 + 1_000);
    let mut rig = Rig::without_service(&setup)?;
    let [_, adopted] = start::start(&mut rig)?;
    Ok(adopted)
}

fn detected(peers: usize, effort: &Effort) -> anyhow::Result<f64> {
    let period = effort.pick(PERIOD, Duration::from_secs(1));
    Ok(detection::one(peers, Fate::Killed, period)?.told)
}

fn restarted(peers: usize, _: &Effort) -> anyhow::Result<f64> {
    let [_, ordered] = server_restart::restart(peers)?;
    Ok(ordered)
}

fn reloaded(peers: usize, _: &Effort) -> anyhow::Result<f64> {
    database::change(&state::rig(peers)?, &state::KEYS)
}

fn told(peers: usize, _: &Effort) -> anyhow::Result<f64> {
    let rig = state::rig(peers)?;
    let service = rig.service.as_ref().context("no service")?;
    let (millis, _) = state::ask(service.control())?;
    Ok(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_is_that_of_the_fit() {
        let sizes = [1_000, 10_000, 100_000];
        for (times, expected) in [
            ([2.0, 20.0, 200.0], 1.0),
            ([2.0, 200.0, 20_000.0], 2.0),
            ([30.0, 30.0, 30.0], 0.0),
            ([0.0, 0.5, 1.0], 0.0),
        ] {
            let found = power(&sizes, &times);
            assert!((found - expected).abs() < 1e-9, "{times:?}: {found}");
        }
    }
}
