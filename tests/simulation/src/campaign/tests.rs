// SPDX-License-Identifier: GPL-3.0-or-later
//! A campaign on runs that are made up.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use simulation::instant::Instant;
use simulation::plan::HostId;
use simulation::promise::{Broken, Promise};
use simulation::seen::{Seen, Watcher};
use simulation::world::{How, Summary, World};

use super::*;
use work::Outcome;

/// Tests that start a process or lock a file wait for each other: until it executes its program, a
/// new process has a copy of every open file, and with that its lock.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Breaks a promise at each tenth seed.
struct MadeUp;

impl Runner for MadeUp {
    fn run(&mut self, work: &Work, _: &Play) -> Result<Outcome> {
        let broken = seed(work).is_multiple_of(10).then(|| Broken {
            promise: Promise::Scripts,
            at: Instant(3),
            host: HostId(0),
            text: "made up".to_owned(),
        });
        Ok(Outcome {
            summary: broken.is_none().then(Summary::default),
            until: Instant(3),
            broken,
        })
    }
}

/// Cannot play at all.
struct Refuses;

impl Runner for Refuses {
    fn run(&mut self, _: &Work, _: &Play) -> Result<Outcome> {
        Err(anyhow::Error::msg("no room"))
    }
}

fn seeds(count: u64) -> Seeds {
    Seeds {
        first: None,
        count,
        profile: Profile::Storm,
        size: Size::Given(1, 2, 3),
    }
}

#[test]
fn every_run_is_played_once_however_many_at_a_time() {
    for jobs in [1, 3] {
        let mut played = Vec::new();
        let mut broken = 0;
        let sink = &mut |done: Done| {
            played.push(seed(&done.work));
            broken += u32::from(done.outcome.broken.is_some());
            Ok(ControlFlow::Continue(()))
        };
        let mut work = seeds(100).from(1).collect::<Vec<_>>().into_iter();
        pool::play(&mut work, jobs, &Play::default(), &|| MadeUp, sink).unwrap();
        assert_eq!((played.len(), broken), (100, 10));
        assert_eq!(played.into_iter().collect::<BTreeSet<_>>().len(), 100);
    }
}

#[test]
fn the_last_seed_is_played_and_none_after_it() {
    let played = |first: u64| -> Vec<u64> {
        let seeds = seeds(3);
        let works = seeds.from(first);
        works.map(|work| seed(&work)).collect()
    };
    assert_eq!(played(5), [5, 6, 7]);
    assert_eq!(played(u64::MAX), [u64::MAX]);
    assert_eq!(played(u64::MAX - 1), [u64::MAX - 1, u64::MAX]);
}

#[test]
fn no_more_is_begun_once_it_is_enough() {
    let mut played = 0;
    let sink = &mut |_| {
        played += 1;
        Ok(ControlFlow::Break(()))
    };
    let mut work = seeds(100).from(1).collect::<Vec<_>>().into_iter();
    pool::play(&mut work, 2, &Play::default(), &|| MadeUp, sink).unwrap();
    // Each worker may have begun another one, and one more may wait for the sink for each.
    assert!((1..=7).contains(&played), "{played}");
    assert_eq!(work.count(), 100 - played, "each that was begun is judged");
}

#[test]
fn a_run_that_cannot_be_played_ends_the_campaign() {
    let sink = &mut |_| Ok(ControlFlow::Continue(()));
    let mut work = seeds(100).from(1).collect::<Vec<_>>().into_iter();
    let error = pool::play(&mut work, 2, &Play::default(), &|| Refuses, sink).unwrap_err();
    assert_eq!(error.to_string(), "no room");
}

#[test]
fn the_size_that_is_asked_for_stands_in_place_of_that_of_the_seed() {
    let works: Vec<Work> = seeds(1).from(17).collect();
    let [Work::Seed(shape)] = works[..] else {
        panic!("{works:?}");
    };
    assert_eq!(
        shape.to_string(),
        "seed 17: 1 hosts, 2 peers each, 3 h, storm"
    );
}

#[test]
fn a_plan_of_a_shape_is_played_to_its_end() {
    let shape: Shape = "3 1 2 1 calm".parse().unwrap();
    let work = Work::Seed(shape);
    let play = Play {
        unjudged: true,
        ..Play::default()
    };
    let outcome = work::Here.run(&work, &play).unwrap();
    assert_eq!(outcome.broken, None);
    assert!(outcome.summary.unwrap().steps > 0);
    assert_eq!(outcome.until, work.plan().until);
}

/// Counts the processes that end.
#[derive(Debug, Default)]
struct Deaths(u64);

impl Watcher for Deaths {
    fn see(&mut self, _: Instant, _: HostId, seen: Seen<'_>) -> Result<(), Broken> {
        self.0 += u64::from(matches!(seen, Seen::Died(_)));
        Ok(())
    }
}

#[test]
fn no_process_ends_in_a_steady_run() {
    let deaths = |profile| {
        let shape = Shape {
            seed: 3,
            hosts: 1,
            peers: 4,
            hours: 96,
            profile,
        };
        let world = World::new(&shape.plan(), How::default(), Deaths::default());
        world.run().0.0
    };
    assert_eq!(deaths(Profile::Steady), 0);
    assert!(deaths(Profile::Storm) > 0);
}

#[test]
fn a_fault_that_never_has_an_effect_fails_a_long_campaign() {
    let mut totals = Totals::default();
    totals.storms.coverage.of("quit").planned = 3;
    assert!(reaches_everything(&totals));
    totals.storms.runs = REACHED;
    assert!(!reaches_everything(&totals));
    totals.storms.coverage.of("quit").effective = 1;
    assert!(reaches_everything(&totals));
    totals.storms.fresh = REACHED;
    assert!(!reaches_everything(&totals), "what was never planned");
    for name in NAMES {
        totals.storms.coverage.of(name).effective = 1;
    }
    assert!(reaches_everything(&totals));
}
