// SPDX-License-Identifier: GPL-3.0-or-later
//! Looks for one planted fault: plays seeds with it until a promise that is to find it is broken.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use simulation::promise::Promise;
use simulation::world::Digesting;

use super::prove::Prover;
use super::work::{Outcome, Play, Runner, Work};
use super::worker::Elsewhere;

/// A fault that can be planted, as its patch says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Planted {
    pub(crate) number: u32,
    /// The name of its patch, without the number.
    pub(crate) name: String,
    /// What it plants, and which promise is to find it.
    pub(crate) what: String,
}

impl Planted {
    /// The names of the promises that are to find it.
    fn expected(&self) -> impl Iterator<Item = &str> {
        let (_, by) = self.what.rsplit_once(" Found by: ").unwrap_or_default();
        by.trim_end_matches('.').split(", ")
    }

    /// Whether this promise is to find it.
    pub(crate) fn is_found_by(&self, promise: Promise) -> bool {
        self.expected().any(|name| name == promise.name())
    }

    /// Whether each run keeps all promises, and only another play of the same plan shows the fault.
    fn is_proved(&self) -> bool {
        self.is_found_by(Promise::SameRun)
    }

    /// Whether it shows only in processes that live for long.
    pub(crate) fn is_slow(&self) -> bool {
        self.what.contains(" It is slow.")
    }

    /// What is compared of two plays of a plan.
    pub(crate) fn digest(&self) -> Digesting {
        if self.is_proved() {
            Digesting::Everything
        } else {
            Digesting::Off
        }
    }

    /// What plays the runs with it.
    pub(crate) fn player(&self) -> Player {
        if self.is_proved() {
            Player::Proves(Prover {
                one: Elsewhere::default(),
                other: Elsewhere::default(),
            })
        } else {
            Player::Plays(Elsewhere::default())
        }
    }
}

/// Plays each run once, or as often as `prove` does.
#[derive(Debug)]
pub(crate) enum Player {
    /// Once.
    Plays(Elsewhere),
    /// Until it is known whether it is the same each time.
    Proves(Prover<Elsewhere>),
}

impl Runner for Player {
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome> {
        match self {
            Player::Plays(elsewhere) => elsewhere.run(work, play),
            Player::Proves(prover) => prover.run(work, play),
        }
    }

    fn processor_time(&self) -> Duration {
        match self {
            Player::Plays(elsewhere) => elsewhere.processor_time(),
            Player::Proves(prover) => prover.processor_time(),
        }
    }
}

/// All of them, in a directory of patches `NN-name.patch`. Number 0 is the switch.
///
/// # Errors
/// If the patches cannot be read.
pub(crate) fn all(directory: &Path) -> Result<Vec<Planted>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory);
    for entry in entries.with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|it| it.to_str()) else {
            continue;
        };
        let Some((number, name)) = stem.split_once('-') else {
            continue;
        };
        let (Ok(number @ 1..), "patch") = (
            number.parse(),
            path.extension().and_then(|it| it.to_str()).unwrap_or(""),
        ) else {
            continue;
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        found.push(Planted {
            number,
            name: name.to_owned(),
            what: text.lines().next().unwrap_or("").to_owned(),
        });
    }
    found.sort_by_key(|planted| planted.number);
    Ok(found)
}

/// The one with this number or name.
///
/// # Errors
/// If there is none.
pub(crate) fn named(all: Vec<Planted>, wanted: &str) -> Result<Planted> {
    let number = wanted.parse().ok();
    let mut all = all.into_iter();
    match all.find(|it| Some(it.number) == number || it.name == wanted) {
        Some(planted) => Ok(planted),
        None => bail!("no planted fault is called `{wanted}': see planted --list"),
    }
}

/// Plays each run with the planted fault. A run that breaks a promise is played without the fault
/// too: if that breaks the same, the fault was not what was found.
#[derive(Debug)]
pub(crate) struct Accused<R>(pub(crate) R);

impl<R: Runner> Runner for Accused<R> {
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome> {
        let outcome = self.0.run(work, play)?;
        let Some(broken) = &outcome.broken else {
            return Ok(outcome);
        };
        let without = Play {
            planted: 0,
            ..play.clone()
        };
        let innocent = self.0.run(work, &without)?;
        let same = innocent.broken.as_ref().map(|it| it.promise) == Some(broken.promise);
        Ok(if same {
            Outcome {
                broken: None,
                ..outcome
            }
        } else {
            outcome
        })
    }

    fn processor_time(&self) -> Duration {
        self.0.processor_time()
    }
}

#[cfg(test)]
mod tests {
    use simulation::instant::Instant;
    use simulation::plan::{HostId, Profile};
    use simulation::promise::Broken;

    use super::super::fixed;
    use super::super::shape::Shape;
    use super::*;

    /// Breaks these promises with and without the fault.
    struct Breaks(Option<Promise>, Option<Promise>);

    impl Runner for Breaks {
        fn run(&mut self, _: &Work, play: &Play) -> Result<Outcome> {
            let promise = if play.planted == 0 { self.1 } else { self.0 };
            Ok(Outcome {
                summary: None,
                broken: promise.map(|promise| Broken {
                    promise,
                    at: Instant(5),
                    host: HostId(0),
                    text: "made up".to_owned(),
                }),
                until: Instant(5),
            })
        }
    }

    #[test]
    fn what_is_broken_without_the_fault_too_is_not_its_doing() {
        let play = Play {
            planted: 3,
            ..Play::default()
        };
        let work = Work::Seed(Shape::mixed(1, Profile::Storm));
        let found = |with, without| {
            let mut accused = Accused(Breaks(with, without));
            let outcome = accused.run(&work, &play).unwrap();
            outcome.broken.map(|broken| broken.promise)
        };
        let (empty, jobs) = (Some(Promise::Empty), Some(Promise::AnsweredOnce));
        assert_eq!(found(empty, None), empty);
        assert_eq!(found(empty, jobs), empty);
        assert_eq!(found(empty, empty), None);
        assert_eq!(found(None, empty), None);
    }

    #[test]
    fn a_fault_that_no_single_run_shows_is_looked_for_in_the_same_run_again() {
        let planted = |by: &str| Planted {
            number: 1,
            name: "made-up".to_owned(),
            what: format!("Something is made up. Found by: {by}."),
        };
        let same_run = planted("P5, P0");
        assert!(matches!(same_run.player(), Player::Proves(_)));
        assert_eq!(same_run.digest(), Digesting::Everything);
        let scripts = planted("P5");
        assert!(matches!(scripts.player(), Player::Plays(_)));
        assert_eq!(scripts.digest(), Digesting::Off);
    }

    #[test]
    fn each_patch_says_what_it_plants_and_each_promise_is_to_find_one() {
        let all = all(&fixed::directory().join("planted")).unwrap();
        assert!(all.len() >= 25, "{} planted faults", all.len());
        for planted in &all {
            for name in planted.expected() {
                assert!(
                    Promise::ALL.iter().any(|promise| promise.name() == name),
                    "{name} of {planted:?}"
                );
            }
        }
        for promise in Promise::ALL {
            let mut expected = all.iter().flat_map(Planted::expected);
            let name = promise.name();
            assert!(
                expected.any(|it| it == name),
                "no planted fault shows that {name} can fail"
            );
        }
        let slow = all.iter().filter(|it| it.is_slow());
        assert_eq!(slow.map(|it| it.number).collect::<Vec<_>>(), [59]);
        let numbers: Vec<u32> = all.iter().map(|it| it.number).collect();
        let mut once = numbers.clone();
        once.dedup();
        assert_eq!(numbers, once);
        assert_eq!(named(all.clone(), "01").unwrap(), all[0]);
        named(all, "no such fault").unwrap_err();
    }
}
