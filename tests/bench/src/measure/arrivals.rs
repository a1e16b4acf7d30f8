// SPDX-License-Identifier: GPL-3.0-or-later
//! When pings arrived at the lab, against when each was due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tripe_lab::LabHandle;
use tripe_lab::log::What;

use crate::rig::number;

/// One ping as the lab saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Which peer.
    pub peer: usize,
    /// Which of the peer's pings, from 0.
    pub round: u32,
    /// When it arrived.
    pub at: Instant,
}

/// The pings of many peers and the instants that they should have arrived at.
#[derive(Debug)]
pub(crate) struct Arrivals {
    all: Vec<Arrival>,
    origin: Instant,
    peers: usize,
    period: Duration,
}

/// The number of the peer that a command pings; `None` if it is another command.
pub(crate) fn pinged(what: &What) -> Option<usize> {
    match what {
        What::Command(_, line) if line.starts_with("PING ") => number(line.rsplit(' ').next()?),
        _ => None,
    }
}

impl Arrivals {
    /// Takes every ping from the lab's log. Peer number `n` of `peers` is due at the `n`th part of
    /// the period, and then again after each period. The instant that the schedule began at is not
    /// told by anybody; it is the latest at which no ping arrived too early.
    pub(crate) fn of(lab: &LabHandle, peers: usize, period: Duration) -> Option<Self> {
        let mut rounds: HashMap<usize, u32> = HashMap::new();
        let mut all = Vec::new();
        for event in lab.events() {
            let Some(peer) = pinged(&event.what) else {
                continue;
            };
            let round = rounds.entry(peer).or_default();
            all.push(Arrival {
                peer,
                round: *round,
                at: event.at,
            });
            *round += 1;
        }
        let mut arrivals = Arrivals {
            origin: all.first()?.at,
            all,
            peers,
            period,
        };
        let earliest = |arrival: &Arrival| {
            arrival
                .at
                .checked_sub(arrivals.offset(arrival.peer, arrival.round))
        };
        arrivals.origin = arrivals.all.iter().filter_map(earliest).min()?;
        Some(arrivals)
    }

    fn offset(&self, peer: usize, round: u32) -> Duration {
        let part = peer as f64 / self.peers as f64;
        self.period.mul_f64(part) + self.period * round
    }

    /// When a ping was due.
    pub(crate) fn due(&self, peer: usize, round: u32) -> Instant {
        self.origin + self.offset(peer, round)
    }

    /// How late a ping is whose round is not known, in milliseconds. If it came over one and a half
    /// periods after the last one of its peer, it is late by all that is over one. Otherwise the
    /// instant counts that is at most nine tenths of a period before it.
    pub(crate) fn late(&self, peer: usize, before: Option<Instant>, at: Instant) -> f64 {
        let period = self.period.as_secs_f64();
        if let Some(before) = before
            && at - before > self.period.mul_f64(1.5)
        {
            return 1e3 * ((at - before).as_secs_f64() - period);
        }
        let since = at.saturating_duration_since(self.due(peer, 0));
        let late = since.as_secs_f64() % period;
        1e3 * if late > 0.9 * period {
            late - period
        } else {
            late
        }
    }

    /// When the first ping of a peer after some instant was due.
    pub(crate) fn due_after(&self, peer: usize, instant: Instant) -> Instant {
        let mut round = 0;
        while self.due(peer, round) < instant {
            round += 1;
        }
        self.due(peer, round)
    }

    /// How late each ping was that was due at `from` or later, in milliseconds, in order of
    /// arrival.
    pub(crate) fn lateness(&self, from: Duration) -> Vec<f64> {
        self.all
            .iter()
            .map(|arrival| (arrival, self.due(arrival.peer, arrival.round)))
            .filter(|(_, due)| *due >= self.origin + from)
            .map(|(arrival, due)| (arrival.at - due).as_secs_f64() * 1e3)
            .collect()
    }

    /// The same for pings that were due in a stretch of time.
    pub(crate) fn lateness_between(&self, from: Instant, until: Instant) -> Vec<f64> {
        self.all
            .iter()
            .map(|arrival| (arrival, self.due(arrival.peer, arrival.round)))
            .filter(|(_, due)| (from..until).contains(due))
            .map(|(arrival, due)| (arrival.at - due).as_secs_f64() * 1e3)
            .collect()
    }

    /// How many pings that were due in a stretch of time have not arrived.
    pub(crate) fn missing_between(&self, from: Instant, until: Instant) -> usize {
        let rounds = |peer| {
            let first = self.due_after(peer, from);
            let due = (0..).map(|round| first + self.period * round);
            due.take_while(|due| *due < until).count()
        };
        let due: usize = (0..self.peers).map(rounds).sum();
        due.saturating_sub(self.lateness_between(from, until).len())
    }

    /// How far the time between two pings of one peer was from the period, in milliseconds.
    pub(crate) fn period_errors(&self) -> Vec<f64> {
        let mut last: HashMap<usize, Instant> = HashMap::new();
        let mut errors = Vec::new();
        for arrival in &self.all {
            if let Some(before) = last.insert(arrival.peer, arrival.at) {
                let apart = (arrival.at - before).as_secs_f64();
                errors.push((apart - self.period.as_secs_f64()).abs() * 1e3);
            }
        }
        errors
    }

    /// The share of first pings that fell into the busiest tenth of the first period.
    pub(crate) fn busiest_tenth(&self) -> f64 {
        let mut tenths = [0u32; 10];
        let first = self.all.iter().filter(|arrival| arrival.round == 0);
        let tenth = self.period.as_secs_f64() / 10.0;
        for arrival in first {
            let after = (arrival.at - self.origin).as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small number, never negative"
            )]
            let place = (after / tenth) as usize;
            // What comes after the period counts with its last part.
            tenths[place.min(tenths.len() - 1)] += 1;
        }
        let most = tenths.iter().max().copied().unwrap_or_default();
        f64::from(most) / f64::from(tenths.iter().sum::<u32>().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_late_by_its_own_round_however_late_it_is() {
        let origin = Instant::now();
        let arrivals = Arrivals {
            all: Vec::new(),
            origin,
            peers: 2,
            period: Duration::from_secs(1),
        };
        let at = |seconds: f64| origin + Duration::from_secs_f64(seconds);
        // Peer 1 is due at half seconds.
        for (before, seconds, late) in [
            (Some(3.5), 4.5, 0.0),
            (Some(3.5), 4.52, 20.0),
            (Some(3.5), 5.3, 800.0),
            (Some(3.5), 5.45, 950.0),
            (Some(3.5), 7.5, 3_000.0),
            (Some(3.5), 4.499, -1.0),
            (None, 4.7, 200.0),
        ] {
            let found = arrivals.late(1, before.map(at), at(seconds));
            assert!((found - late).abs() < 1e-3, "{seconds}: {found}");
        }
    }
}
