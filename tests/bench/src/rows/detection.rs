// SPDX-License-Identifier: GPL-3.0-or-later
//! Detection: all peers go silent at once; how long after the manual's bound is the last one told
//! of, and the last one reconnected or killed.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tripe_lab::log::What;

use super::{Effort, Found, progress};
use crate::measure::arrivals::Arrivals;
use crate::report::Line;
use crate::rig::{Rig, Setup, commands, number};

const PERIOD: Duration = Duration::from_secs(1);

/// Attempts before a peer is given up, and the seconds that each may take.
const RETRIES: u32 = 3;

/// As [`RETRIES`] and a timeout of one second say, after the first unanswered ping was due.
const BOUND: Duration = Duration::from_secs(RETRIES as u64);

/// How far beyond the bound every peer must be detected, in milliseconds.
const BEYOND: f64 = 50.0;

/// How long after the silence nothing more is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to an unreachable peer.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is reconnected.
    Reconnected,
    /// It is killed.
    Killed,
}

/// How long after the bound the last peer was told of, and the last one acted on.
struct Delay {
    told: f64,
    acted: f64,
}

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    for (fate, act) in [
        (Fate::Reconnected, "last reconnecting"),
        (Fate::Killed, "last KILL"),
    ] {
        let mut delays = Vec::new();
        for run in 1..=effort.runs {
            let delay = one(peers, fate)?;
            progress(&format!(
                "detection: run {run}: told {:.1} ms, {act} {:.1} ms after the bound",
                delay.told, delay.acted
            ));
            delays.push(delay);
        }
        let told = delays.iter().map(|delay| delay.told).collect();
        let acted = delays.iter().map(|delay| delay.acted).collect();
        for (what, runs) in [("last ping-timeout", told), (act, acted)] {
            let condition = format!("{what}, {peers} peers, {fate:?}");
            let line = Line::new(
                "Detection, beyond the manual's bound",
                condition,
                "ms",
                runs,
            );
            found.lines.extend(line.map(|line| line.at_most(BEYOND)));
        }
    }
    Ok(())
}

fn one(peers: usize, fate: Fate) -> anyhow::Result<Delay> {
    let retries = RETRIES.to_string();
    let mut keys = vec![
        ("every", "1"),
        ("timeout", "1"),
        ("retries", retries.as_str()),
    ];
    if matches!(fate, Fate::Reconnected) {
        keys.push(("knock", "gw.bench"));
    }
    let mut setup = Setup::new(peers, &keys);
    // For each peer: two or three pings, those of the check that fails, a warning for each with its
    // broadcast, and what follows.
    setup.log = commands(peers * 24);
    let rig = Rig::start(&setup)?;
    rig.wait_for_pings(2 * peers as u64)?;
    rig.site.lab.pause_network()?;
    let silent = Instant::now();
    let started = Instant::now();
    let last = format!("attempt {RETRIES} of {RETRIES}");
    // The lab keeps events; whether they are complete is seen by counting them now and then.
    let (told, acted) = loop {
        std::thread::sleep(Duration::from_millis(500));
        let (mut told, mut acted) = (vec![None; peers], vec![None; peers]);
        for event in rig.site.lab.events() {
            let What::Command(_, line) = &event.what else {
                continue;
            };
            let mut words = line.split(' ');
            let slot = match (words.next(), words.next(), words.next(), words.next()) {
                (Some("WARN"), Some("connect"), Some("ping-timeout"), Some(peer))
                    if line.ends_with(&last) =>
                {
                    number(peer).and_then(|n| told.get_mut(n))
                }
                (Some("WARN"), Some("connect"), Some("reconnecting"), Some(peer)) => {
                    number(peer).and_then(|n| acted.get_mut(n))
                }
                (Some("KILL"), Some(peer), None, None) => {
                    number(peer).and_then(|n| acted.get_mut(n))
                }
                _ => None,
            };
            if let Some(slot) = slot {
                slot.get_or_insert(event.at);
            }
        }
        if told.iter().chain(&acted).all(Option::is_some) {
            break (told, acted);
        }
        let missing = told.iter().chain(&acted).filter(|at| at.is_none()).count();
        anyhow::ensure!(started.elapsed() < PATIENCE, "{missing} are not detected");
    };
    let arrivals = Arrivals::of(&rig.site.lab, peers, PERIOD).context("the lab saw no ping")?;
    let beyond = |times: Vec<Option<Instant>>| {
        let delays = times.into_iter().enumerate().filter_map(|(peer, at)| {
            let bound = arrivals.due_after(peer, silent) + BOUND;
            // The one that was last detected may even be early by the grain of clocks.
            Some(at?.saturating_duration_since(bound).as_secs_f64() * 1e3)
        });
        delays.fold(0.0, f64::max)
    };
    Ok(Delay {
        told: beyond(told),
        acted: beyond(acted),
    })
}
