// SPDX-License-Identifier: GPL-3.0-or-later
//! Punctuality: when a ping arrives at the lab, less the instant at which it should; beside a bare
//! timer wheel, and fping. And drift, under simulated time and in real time.

use std::time::Duration;

use anyhow::Context as _;
use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::{
    EndedPing, FromPinger, PingPhase, PingPlan, PingResult, ToPinger, Watched,
};
use connect_ipc::statistics::PingStatistics;
use connect_pinger::machine::{Input, Machine, Output};

use super::{Effort, Found, progress};
use crate::baselines::fping;
use crate::baselines::player::Player;
use crate::measure::arrivals::Arrivals;
use crate::measure::figures::{Samples, columns};
use crate::report::Line;
use crate::rig::{Rig, Setup, commands};

const PERIOD: Duration = Duration::from_secs(1);

/// How long starting may disturb punctuality.
const WARM_UP: Duration = Duration::from_secs(1);

/// How far above a bare timer wheel's the 99th percentile may be, in milliseconds.
const ABOVE_WHEEL: f64 = 2.5;

/// How much of all first pings may fall into one tenth of the interval, where a tenth would be
/// even.
const BUSIEST: f64 = 0.15;

/// What counts as no drift in real time, in milliseconds: what the machine's noise moves a median
/// by.
const NO_DRIFT: f64 = 0.5;

/// Lateness of one run: p50, p99, most.
type Late = [f64; 3];

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    let periods = effort.pick(6, 3);
    let (mut ours, mut wheel): (Vec<Late>, Vec<Late>) = (Vec::new(), Vec::new());
    let (mut busiest, mut errors) = (Vec::new(), Vec::new());
    let mut fping_errors = Ok(Vec::new());
    while effort.goes_on(columns(&ours).into_iter().chain(columns(&wheel))) {
        let run = ours.len() + 1;
        let arrivals = watch(peers, periods)?;
        let late = Samples::new(arrivals.lateness(WARM_UP));
        ours.push([late.percentile(0.5), late.percentile(0.99), late.max()]);
        busiest.push(arrivals.busiest_tenth());
        wheel.push(bare_wheel(peers, periods)?);
        // As many as fping can pace.
        let few = peers.min(1_000);
        errors.push(Samples::new(watch(few, periods)?.period_errors()).percentile(0.99));
        let theirs = fping::period_errors(few, PERIOD, periods);
        match (&mut fping_errors, theirs) {
            (Ok(all), Ok(errors)) => all.push(Samples::new(errors).percentile(0.99)),
            (_, Err(error)) => fping_errors = Err(format!("{error:#}")),
            (Err(_), Ok(_)) => {}
        }
        progress(&format!(
            "punctuality: run {run}, {} pings: ours {:.2?} ms, bare wheel {:.2?} ms",
            late.len(),
            ours.last().unwrap_or(&[0.0; 3]),
            wheel.last().unwrap_or(&[0.0; 3]),
        ));
    }
    for (at, name) in ["p50", "p99", "most"].into_iter().enumerate() {
        let of = |runs: &[Late]| runs.iter().map(|late| late[at]).collect();
        let condition = format!("{name}, {peers} peers");
        let line = Line::new("Lateness of pings", condition, "ms", of(&ours))
            .map(|line| line.baseline("bare timer wheel", Ok(of(&wheel))));
        found.lines.extend(match name {
            "p99" => line.map(|line| line.at_most_above(ABOVE_WHEEL, "bare timer wheel")),
            _ => line,
        });
    }
    found.lines.extend(
        Line::new(
            "Error of the period",
            format!("p99, {} peers", peers.min(1_000)),
            "ms",
            errors,
        )
        .map(|line| line.baseline("fping", fping_errors)),
    );
    let spread = "First pings in the busiest tenth of the interval";
    let line = Line::new(spread, format!("{peers} peers"), "of 1", busiest);
    found.lines.extend(line.map(|line| line.at_most(BUSIEST)));
    drift(effort, found)
}

/// The service's pings over some periods.
fn watch(peers: usize, periods: u32) -> anyhow::Result<Arrivals> {
    let rounds = periods as usize + 4;
    let mut setup = Setup::new(peers, &[("every", "1")]);
    setup.log = commands(peers * (rounds + 2));
    let rig = Rig::start(&setup)?;
    rig.wait_for_pings(peers as u64 * u64::from(periods))?;
    Arrivals::of(&rig.site.lab, peers, PERIOD).context("the lab saw no ping")
}

fn bare_wheel(peers: usize, periods: u32) -> anyhow::Result<Late> {
    let arguments = ["wheel", &peers.to_string(), &periods.to_string()];
    let line = Player::start(&arguments)?.line()?;
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || {
        numbers
            .next()
            .context("a percentile is missing")?
            .context(line.clone())
    };
    Ok([next()?, next()?, next()?])
}

fn drift(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let off = simulate(effort.pick(1_000, 100), 1_000)?;
    let name = "Drift";
    let line = Line::new(
        name,
        "1,000 periods, simulated time",
        "ns",
        vec![off as f64],
    );
    found.lines.extend(line.map(|line| line.at_most(0.0)));

    let seconds = effort.pick(100, 4);
    progress(&format!("punctuality: drift over {seconds} s"));
    let late = watch(effort.pick(1_000, 100), seconds)?.lateness(WARM_UP);
    let tenth = late.len() / 10;
    let median = |part: &[f64]| Samples::new(part.to_vec()).percentile(0.5);
    let drift = (median(&late[late.len() - tenth..]) - median(&late[..tenth])).abs();
    let line = Line::new(name, format!("over {seconds} s"), "ms", vec![drift]);
    found.lines.extend(line.map(|line| line.at_most(NO_DRIFT)));
    Ok(())
}

/// Runs the pinger's state machine through many periods, each ping sent late by a time of its own,
/// and gives how far any ping's due time was from where it belongs, in nanoseconds.
fn simulate(peers: u64, periods: u64) -> anyhow::Result<u64> {
    const SECOND: u64 = 1_000_000_000;
    let first = |peer: u64| SECOND + peer * SECOND / peers;
    let mut machine = Machine::default();
    let mut out = Vec::new();
    let watched = (0..peers).map(|peer| Watched {
        peer: PeerId(peer),
        name: peer.to_string(),
        plan: PingPlan {
            every: 1,
            timeout: 1,
            retries: 5,
            backoff: 1,
            backoff_max: 4,
        },
        phase: Some(PingPhase {
            due: Monotonic(first(peer)),
            ..PingPhase::default()
        }),
        statistics: PingStatistics::default(),
    });
    let watch = ToPinger::Watch {
        at: Monotonic(0),
        peers: watched.collect(),
    };
    for message in [watch, ToPinger::Ready {}] {
        machine.handle(Input::Core(message), Monotonic(0), &mut out);
    }
    let mut worst = 0;
    let mut pings = 0;
    while pings < peers * periods {
        let deadline = machine.next_deadline().context("nothing is due")?;
        // Late by up to 90 ms, differently each time.
        let late = connect_liveness::backoff::scatter(deadline.0) % 90_000_000;
        let now = Monotonic(deadline.0 + late);
        machine.handle(Input::Time {}, now, &mut out);
        let mut results = Vec::new();
        let orders = out
            .drain(..)
            .flat_map(|Output::ToCore(message)| match message {
                FromPinger::Ping(orders) | FromPinger::Late(orders) => orders,
                _ => Vec::new(),
            });
        for order in orders {
            let ideal = first(order.peer.0) + u64::from(order.seq - 1) * SECOND;
            worst = worst.max(order.due.0.abs_diff(ideal));
            pings += 1;
            results.push(EndedPing {
                peer: order.peer,
                seq: order.seq,
                result: PingResult::Reply(1.0),
            });
        }
        let answered = now + Duration::from_millis(5);
        let results = ToPinger::Results {
            at: answered,
            ended: results,
        };
        machine.handle(Input::Core(results), answered, &mut out);
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drifts_in_simulated_time() {
        assert_eq!(simulate(20, 50).unwrap(), 0);
    }
}
