// SPDX-License-Identifier: GPL-3.0-or-later
//! Wake-ups for each ping of a small site, where every ping is alone: of all our processes, beside
//! the floor, which is woken to send and woken by the answer.

use std::time::{Duration, Instant};

use scenarios::Service;

use super::{Effort, Found, progress};
use crate::baselines::player::Player;
use crate::measure::process;
use crate::report::Line;
use crate::rig::{Rig, Setup};

/// How many peers a small site has.
const PEERS: usize = 20;

/// How many wake-ups a ping may take.
const MOST: f64 = 2.5;

/// How many wake-ups a second are for something else, such as the look at the database.
const BESIDES: f64 = 1.0;

/// How long starting takes, with the answers to all questions.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let every = effort.pick(30, 2);
    let period = Duration::from_secs(every);
    let text = every.to_string();
    let keys = [("every", text.as_str())];
    // Neither moves what the other is counted for, so both are watched at once, each with a server
    // of its own, which counts its pings.
    let mut rig = Rig::without_service(&Setup::new(PEERS, &keys))?;
    let bare = Rig::without_service(&Setup::new(PEERS, &keys))?;
    rig.service = Some(Service::start(&rig.site, &[])?);
    let socket = bare.site.lab.socket_path().to_string_lossy().into_owned();
    let player = Player::start(&["floor", &socket, &PEERS.to_string(), &text])?;
    rig.wait_for_pings(1)?;
    bare.wait_for_pings(1)?;
    std::thread::sleep(SETTLE);
    let processes = rig.processes()?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    while effort.goes_on([ours.clone(), floor.clone()]) {
        let (started, before) = (
            Instant::now(),
            [count(&rig, &processes)?, count(&bare, &[player.pid()?])?],
        );
        std::thread::sleep(period);
        let after = [count(&rig, &processes)?, count(&bare, &[player.pid()?])?];
        let besides = [BESIDES * started.elapsed().as_secs_f64(), 0.0];
        let [one, other] = std::array::from_fn(|at| {
            let wakeups = after[at][0] - before[at][0];
            (wakeups as f64 - besides[at]) / (after[at][1] - before[at][1]).max(1) as f64
        });
        ours.push(one);
        floor.push(other);
        progress(&format!(
            "wake-ups: run {}: {one:.2} a ping and {BESIDES} a second, floor {other:.2}",
            ours.len()
        ));
    }
    let line = Line::new(
        "Wake-ups a ping, all processes, and one a second",
        format!("{PEERS} peers, each every {every} s"),
        "",
        ours,
    );
    found
        .lines
        .extend(line.map(|line| line.baseline("floor", Ok(floor)).at_most(MOST)));
    Ok(())
}

/// Wake-ups of these processes so far, and pings that the server was asked for.
fn count(rig: &Rig, processes: &[i32]) -> anyhow::Result<[u64; 2]> {
    let wakeups: anyhow::Result<u64> = processes.iter().map(|pid| process::wakeups(*pid)).sum();
    Ok([wakeups?, rig.pings()?])
}
