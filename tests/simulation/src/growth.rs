// SPDX-License-Identifier: GPL-3.0-or-later
//! How much each machine holds, day by day, and whether that grows in a long run.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Write};

use judge::slope;
use serde::{Deserialize, Serialize};

use crate::plan::HostId;
use crate::seen::View;

/// From how many days on it is judged: with fewer, the changes of the site are more than what a
/// line through the days can tell.
const LONG: usize = 60;

/// How much it may grow in a run whatever the line says, in bytes: the numbers that are written
/// have more digits in the end.
const ROOM: f64 = 2_048.0;

/// How many times its standard error a slope must be to be believed.
const CERTAIN: f64 = 4.0;

/// What holds something.
const PARTS: [&str; 4] = ["core", "pinger", "script helper", "journal"];

/// What the machines of all hosts hold each day, in bytes. A process that does not live holds
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    hosts: BTreeMap<HostId, Vec<[Option<usize>; 4]>>,
}

impl Growth {
    /// A day has passed.
    pub(crate) fn day(&mut self, host: HostId, view: &View<'_>) {
        let sizes = [
            view.core.map(length),
            view.pinger.map(length),
            view.scripts.map(|(machine, _)| length(machine)),
            Some(length(view.ledger)),
        ];
        self.hosts.entry(host).or_default().push(sizes);
    }

    /// What became of each machine, if the run was long.
    pub(crate) fn lines(&self) -> Vec<Grown> {
        let hosts = self.hosts.iter().filter(|(_, days)| days.len() >= LONG);
        let lines = hosts.flat_map(|(host, days)| {
            let lines = PARTS.into_iter().enumerate();
            lines.filter_map(move |(at, part)| Grown::of(*host, part, days, at))
        });
        lines.collect()
    }
}

/// How the size of one machine has changed in a run, in bytes of what it would print of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grown {
    /// The host.
    pub host: HostId,
    /// Which machine it is.
    pub part: String,
    /// On how many days it lived.
    pub days: usize,
    /// The mean of the first tenth of them, and of the last one.
    pub means: [f64; 2],
    /// The most.
    pub most: usize,
    /// How much the line rises that is fitted to all days but the first tenth, and its standard
    /// error.
    pub rise: [f64; 2],
}

impl Grown {
    fn of(host: HostId, part: &str, days: &[[Option<usize>; 4]], at: usize) -> Option<Self> {
        let sizes = days.iter().zip(0u32..);
        let sizes = sizes.filter_map(|(day, number)| Some((number, day[at]?)));
        let sizes: Vec<(u32, usize)> = sizes.collect();
        let tenth = sizes.len().div_ceil(10);
        let mean = |of: &[(u32, usize)]| {
            of.iter().map(|(_, size)| *size as f64).sum::<f64>() / of.len() as f64
        };
        let points = sizes.get(tenth..)?.iter();
        let points: Vec<(f64, f64)> = points
            .map(|(number, size)| (f64::from(*number), *size as f64))
            .collect();
        let line = slope::fit(&points)?;
        Some(Grown {
            host,
            part: part.to_owned(),
            days: sizes.len(),
            means: [
                mean(sizes.get(..tenth)?),
                mean(sizes.get(sizes.len() - tenth..)?),
            ],
            most: sizes.iter().map(|(_, size)| *size).max()?,
            rise: [line.slope, line.error].map(|it| it * line.length),
        })
    }

    /// Whether it has grown for certain, and by more than the digits of its numbers.
    #[must_use]
    pub fn is_leak(&self) -> bool {
        let [rise, error] = self.rise;
        rise > CERTAIN * error && rise > ROOM
    }
}

impl Display for Grown {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, last] = self.means;
        let [rise, error] = self.rise;
        write!(
            to,
            "host {}, {:<14}{:>5} days, {first:.0} bytes in the beginning, {last:.0} in the end, \
             {} at most; the line rises by {rise:+.0} (error {error:.0})",
            self.host.0, self.part, self.days, self.most
        )
    }
}

/// Counts what is written.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// How long something is in words, in bytes.
pub(crate) fn length(what: &impl Debug) -> usize {
    let mut counter = Counter(0);
    // Counting cannot fail.
    let _ = write!(counter, "{what:?}");
    counter.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a core of which these are the sizes.
    fn grown(sizes: impl Iterator<Item = usize>) -> Option<Grown> {
        let days: Vec<_> = sizes
            .map(|size| [Some(size), None, None, Some(7)])
            .collect();
        let growth = Growth {
            hosts: [(HostId(0), days)].into(),
        };
        let lines = growth.lines();
        assert!(lines.iter().all(|line| line.part != "pinger"));
        lines.into_iter().find(|line| line.part == "core")
    }

    #[test]
    fn what_rises_each_day_is_a_leak_and_what_goes_up_and_down_is_none() {
        let noise = |day: usize| day * 7_919 % 1_009;
        assert!(
            grown((0..100).map(|day| 40_000 + day * 100 + noise(day)))
                .unwrap()
                .is_leak()
        );
        assert!(
            !grown((0..100).map(|day| 40_000 + noise(day)))
                .unwrap()
                .is_leak()
        );
        // The digits of numbers.
        assert!(
            !grown((0..100).map(|day| 40_000 + day * 20))
                .unwrap()
                .is_leak()
        );
        // The site has begun with little.
        let full = |day: usize| if day < 8 { 1_000 } else { 40_000 + noise(day) };
        let line = grown((0..100).map(full)).unwrap();
        assert!(!line.is_leak(), "{line}");
        assert_eq!((line.days, line.most), (100, 41_005));
    }

    #[test]
    fn a_short_run_is_not_judged() {
        assert_eq!(grown((0..59).map(|day| day * 1_000)), None);
    }
}
