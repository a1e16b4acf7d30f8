// SPDX-License-Identifier: GPL-3.0-or-later
//! Detection: all peers stop answering at once; how long after the manual's limit the last one is
//! reported, and the last one reconnected or killed.

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

/// How often the lab's log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What happens to an unreachable peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is reconnected.
    Reconnected,
    /// It is killed.
    Killed,
}

/// How long after the limit the last peer was reported, and the last one reconnected or killed.
pub(super) struct Delay {
    pub told: f64,
    pub acted: f64,
}

pub(super) fn measure(effort: &Effort, found: &mut Found) -> anyhow::Result<()> {
    let peers = effort.pick(10_000, 200);
    for (fate, act) in [
        (Fate::Reconnected, "last reconnecting"),
        (Fate::Killed, "last KILL"),
    ] {
        let mut delays: Vec<Delay> = Vec::new();
        let of = |delays: &[Delay]| {
            let told = delays.iter().map(|delay| delay.told).collect();
            [told, delays.iter().map(|delay| delay.acted).collect()]
        };
        while effort.goes_on(of(&delays)) {
            let run = delays.len() + 1;
            let delay = one(peers, fate, PERIOD)?;
            progress(&format!(
                "detection: run {run}: told {:.1} ms, {act} {:.1} ms after the bound",
                delay.told, delay.acted
            ));
            delays.push(delay);
        }
        let [told, acted] = of(&delays);
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

/// Has so many peers go silent, each of which is pinged once in a period.
pub(super) fn one(peers: usize, fate: Fate, period: Duration) -> anyhow::Result<Delay> {
    let (every, retries) = (period.as_secs().to_string(), RETRIES.to_string());
    let mut keys = vec![
        ("every", every.as_str()),
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
    if period == PERIOD {
        rig.wait_for_pings(2 * peers as u64)?;
    }
    let mut follow = rig.site.lab.follow();
    rig.site.lab.pause_network()?;
    let silent = Instant::now();
    let (mut told, mut acted) = (vec![None; peers], vec![None; peers]);
    let mut missing = 2 * peers;
    while missing > 0 {
        let over = silent.elapsed() > PATIENCE + period;
        anyhow::ensure!(!over, "{missing} are not detected");
        // The lab is left alone meanwhile, which would have to wait for who looks at its log.
        std::thread::sleep(LOOK_EVERY);
        let wanted = |what: &What| news(what).is_some();
        while let Ok(event) = follow.next_within(Duration::ZERO, "news", wanted) {
            let slot = match news(&event.what) {
                Some(News::Told(peer)) => told.get_mut(peer),
                Some(News::Acted(peer)) => acted.get_mut(peer),
                None => None,
            };
            if let Some(slot @ None) = slot {
                *slot = Some(event.at);
                missing -= 1;
            }
        }
    }
    let first: Vec<Option<Instant>> = if period == PERIOD {
        let arrivals = Arrivals::of(&rig.site.lab, peers, period).context("no pings")?;
        let due = |peer| Some(arrivals.due_after(peer, silent));
        (0..peers).map(due).collect()
    } else {
        first_unanswered(&rig)
    };
    let beyond = |times: Vec<Option<Instant>>| {
        let delays = times.into_iter().zip(&first).filter_map(|(at, first)| {
            let bound = (*first)? + BOUND;
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

/// What the lab learns of an unreachable peer, by number.
enum News {
    /// Its last attempt has failed.
    Told(usize),
    /// It is reconnected, or killed.
    Acted(usize),
}

fn news(what: &What) -> Option<News> {
    let What::Command(_, line) = what else {
        return None;
    };
    let mut words = line.split(' ');
    match (words.next()?, words.next()?, words.next(), words.next()) {
        ("WARN", "connect", Some("ping-timeout"), Some(peer)) => {
            let last = format!("attempt {RETRIES} of {RETRIES}");
            line.ends_with(&last).then_some(News::Told(number(peer)?))
        }
        ("WARN", "connect", Some("reconnecting"), Some(peer)) => Some(News::Acted(number(peer)?)),
        ("KILL", peer, None, None) => Some(News::Acted(number(peer)?)),
        _ => None,
    }
}

/// When the first ping of the check that failed arrived, for each peer. A peer that was killed is
/// pinged no more, so that it is as many pings from the end as there are attempts. Only with the
/// shortest period is it known when pings are due.
fn first_unanswered(rig: &Rig) -> Vec<Option<Instant>> {
    let mut last = vec![[None; RETRIES as usize]; rig.peers];
    for event in rig.site.lab.events() {
        if let What::Command(_, line) = &event.what
            && line.starts_with("PING ")
            && let Some(peer) = line.rsplit(' ').next().and_then(number)
            && let Some(pings) = last.get_mut(peer)
        {
            pings.rotate_left(1);
            pings[RETRIES as usize - 1] = Some(event.at);
        }
    }
    last.into_iter().map(|pings| pings[0]).collect()
}
