// SPDX-License-Identifier: GPL-3.0-or-later
//! Proves that the same plan is the same run: each is played twice in one process and once in
//! another, whose maps hash their keys otherwise.

use std::time::Duration;

use anyhow::{Context as _, Result};
use simulation::plan::HostId;
use simulation::promise::{Broken, Promise};

use super::work::{Outcome, Play, Runner, Work};

/// Plays each run three times, and finds [`Promise::SameRun`] broken if they differ.
#[derive(Debug)]
pub(crate) struct Prover<R> {
    pub(crate) one: R,
    pub(crate) other: R,
}

impl<R: Runner> Runner for Prover<R> {
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome> {
        let first = self.one.run(work, play)?;
        let again = self.one.run(work, play)?;
        let elsewhere = self.other.run(work, play)?;
        let difference = if first != again {
            difference(&first, &again).map(|it| format!("in the same process, {it}"))
        } else {
            difference(&first, &elsewhere).map(|it| format!("in another process, {it}"))
        };
        let Some(text) = difference else {
            return Ok(first);
        };
        Ok(Outcome {
            summary: None,
            broken: Some(Broken {
                promise: Promise::SameRun,
                at: first.until,
                host: HostId(0),
                text,
            }),
            until: first.until,
        })
    }

    fn processor_time(&self) -> Duration {
        self.one.processor_time() + self.other.processor_time()
    }
}

fn difference(one: &Outcome, other: &Outcome) -> Option<String> {
    if one == other {
        return None;
    }
    if let (Some(one), Some(other)) = (&one.summary, &other.summary)
        && one.digest != other.digest
    {
        let (one, other) = (one.digest, other.digest);
        return Some(format!("the digest {one:016x} became {other:016x}"));
    }
    let text = |it: &Outcome| {
        serde_json::to_string(it)
            .context("it cannot be shown")
            .unwrap_or_else(|error| format!("{error:#}"))
    };
    Some(format!("{} became {}", text(one), text(other)))
}

#[cfg(test)]
mod tests {
    use simulation::instant::Instant;
    use simulation::plan::Profile;
    use simulation::world::Summary;

    use super::super::shape::Shape;
    use super::*;

    /// Its digests are these, one after the other.
    struct Digests(Vec<u64>);

    impl Runner for Digests {
        fn run(&mut self, _: &Work, _: &Play) -> Result<Outcome> {
            let summary = Summary {
                digest: self.0.remove(0),
                ..Summary::default()
            };
            Ok(Outcome {
                summary: Some(summary),
                broken: None,
                until: Instant(9),
            })
        }
    }

    #[test]
    fn a_run_that_is_not_the_same_is_found() {
        let work = Work::Seed(Shape::mixed(1, Profile::Storm));
        let broken = |one: [u64; 2], other: u64| {
            let mut prover = Prover {
                one: Digests(one.to_vec()),
                other: Digests(vec![other]),
            };
            let outcome = prover.run(&work, &Play::default()).unwrap();
            outcome.broken.map(|broken| broken.promise)
        };
        assert_eq!(broken([5, 5], 5), None);
        assert_eq!(broken([5, 6], 5), Some(Promise::SameRun));
        assert_eq!(broken([5, 5], 6), Some(Promise::SameRun));
    }
}
