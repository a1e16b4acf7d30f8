// SPDX-License-Identifier: GPL-3.0-or-later
//! What a run is made from: its seed, and how large the site is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use simulation::plan::{Plan, Profile, Scale};

/// How many hosts a site may have.
pub(crate) const HOSTS: u64 = 64;

/// How many peers a host may have.
pub(crate) const PEERS: u64 = 1_000;

/// How many days a run may last. Hours can be given besides, up to as long again.
pub(crate) const DAYS: u64 = 3_660;

/// How many hours a run may last in all.
const HOURS: u64 = 2 * DAYS * 24;

/// What the plan of a run is made from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) hosts: u8,
    pub(crate) peers: u32,
    pub(crate) hours: u64,
    pub(crate) profile: Profile,
}

impl Shape {
    /// A shape by the seed: three fifths are one small host, on which most is seen in the least
    /// time; the others have more peers, or are sites of two and of four hosts.
    pub(crate) const fn mixed(seed: u64, profile: Profile) -> Self {
        let size = match seed % 25 {
            0..15 => (1, 4, 8),
            15 => (1, 20, 8),
            16..23 => (2, 5, 16),
            _ => (4, 8, 24),
        };
        Shape::of(seed, size, profile)
    }

    /// Whether it is that of a storm, by the seed.
    pub(crate) fn is_usual(&self) -> bool {
        *self == Shape::mixed(self.seed, Profile::Storm)
    }

    /// Whether there can be such a site.
    pub(crate) fn is_possible(&self) -> bool {
        let fits = |number: u64, most: u64| (1..=most).contains(&number);
        fits(self.hosts.into(), HOSTS) && fits(self.peers.into(), PEERS) && fits(self.hours, HOURS)
    }

    /// As [`Shape::mixed`], but smaller, to find faults soon.
    pub(crate) const fn small(seed: u64, profile: Profile) -> Self {
        let size = match seed % 10 {
            0..7 => (1, 4, 8),
            7 => (1, 40, 3),
            8 => (2, 5, 12),
            _ => (4, 6, 12),
        };
        Shape::of(seed, size, profile)
    }

    const fn of(seed: u64, (hosts, peers, hours): (u8, u32, u64), profile: Profile) -> Self {
        Shape {
            seed,
            hosts,
            peers,
            hours,
            profile,
        }
    }

    /// The plan.
    pub(crate) fn plan(&self) -> Plan {
        Plan::generate(
            self.seed,
            Scale {
                hosts: self.hosts,
                peers: self.peers,
                time: Duration::from_secs(self.hours * 3_600),
                profile: self.profile,
            },
        )
    }
}

/// `SEED HOSTS PEERS HOURS PROFILE`, as in a list of fixed seeds.
impl FromStr for Shape {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [seed, hosts, peers, hours, profile] = words[..] else {
            bail!("a line is SEED HOSTS PEERS HOURS PROFILE, not `{line}'");
        };
        let shape = Shape {
            seed: seed.parse().context("no seed")?,
            hosts: hosts.parse().context("no number of hosts")?,
            peers: peers.parse().context("no number of peers")?,
            hours: hours.parse().context("no number of hours")?,
            profile: profile.parse().map_err(Error::msg)?,
        };
        ensure!(shape.is_possible(), "there can be no such site: `{line}'");
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, hosts, peers, hours) = (self.seed, self.hosts, self.peers, self.hours);
        write!(
            f,
            "seed {seed}: {hosts} hosts, {peers} peers each, {hours} h, "
        )?;
        write!(f, "{}", self.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_fixed_seeds_is_read() {
        let shape: Shape = "17 2 5 16 storm".parse().unwrap();
        assert_eq!(shape, Shape::mixed(17, Profile::Storm));
        for wrong in [
            "17 2 5 16",
            "17 2 5 16 storm 1",
            "x 2 5 16 storm",
            "1 2 5 6 wind",
            "1 0 5 6 storm",
            "1 65 5 6 storm",
            "1 2 1001 6 storm",
            "1 2 5 18446744073709551615 storm",
        ] {
            wrong.parse::<Shape>().unwrap_err();
        }
    }
}
