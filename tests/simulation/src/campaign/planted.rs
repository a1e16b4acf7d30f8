// SPDX-License-Identifier: GPL-3.0-or-later
//! Looks for one planted fault: plays seeds with it until a promise is broken.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::work::{Outcome, Play, Runner, Work};

/// A fault that can be planted, as its patch says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Planted {
    pub(crate) number: u32,
    /// The name of its patch, without the number.
    pub(crate) name: String,
    /// What it plants, and which promise is to find it.
    pub(crate) what: String,
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
    use simulation::promise::{Broken, Promise};

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
    fn each_patch_says_what_it_plants_and_what_is_to_find_it() {
        let all = all(&fixed::directory().join("planted")).unwrap();
        assert!(all.len() >= 25, "{} planted faults", all.len());
        for planted in &all {
            let expected = planted.what.rsplit_once(" Found by: ");
            let (_, by) = expected.unwrap_or_else(|| panic!("{planted:?}"));
            for name in by.trim_end_matches('.').split(", ") {
                assert!(
                    Promise::ALL.iter().any(|promise| promise.name() == name),
                    "{name} of {planted:?}"
                );
            }
        }
        let numbers: Vec<u32> = all.iter().map(|it| it.number).collect();
        let mut once = numbers.clone();
        once.dedup();
        assert_eq!(numbers, once);
        assert_eq!(named(all.clone(), "01").unwrap(), all[0]);
        named(all, "no such fault").unwrap_err();
    }
}
