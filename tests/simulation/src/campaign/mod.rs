// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays many runs and says what came of them.
//!
//! ```text
//!   seeds, plans --> [pool] --> workers, a process each --> [pool]
//!                                       +-- Done --> [totals], [progress], [failure]
//! ```

pub(crate) mod fixed;
pub(crate) mod planted;
pub(crate) mod shape;
pub(crate) mod twins;
pub(crate) mod work;
pub(crate) mod worker;

mod failure;
mod pool;
mod progress;
mod prove;
mod totals;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use simulation::plan::{CHANGED_FROM, NAMES, Profile};
use simulation::world::Digesting;

use planted::{Accused, Planted};
use pool::{Done, Sink};
use progress::Progress;
use prove::Prover;
use shape::Shape;
use totals::{Line, Totals, TotalsFile};
use work::{Play, Runner, Work};
use worker::Elsewhere;

/// The first fresh seed: it has all kinds of faults and changes.
const FRESH: u64 = CHANGED_FROM;

/// How many seeds are named before each is played; of more, failures are named.
const NAMED: u64 = 20;

/// After how many runs each fault must have had an effect once.
const REACHED: u64 = 500;

/// What shows a fault that is slow: one host for ten days.
const SLOW: Size = Size::Given(1, 4, 240);

/// In how many such runs it is looked for at most: each takes as long as thirty storms.
const SLOW_RUNS: u64 = 100;

/// How a campaign is held.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) jobs: usize,
    pub(crate) play: Play,
    /// It ends after so many failures.
    pub(crate) failures: u64,
    /// It begins no more runs after this time.
    pub(crate) until: Option<Duration>,
    /// Where totals are kept.
    pub(crate) totals: Option<PathBuf>,
}

/// Which seeds are played.
#[derive(Debug)]
pub(crate) struct Seeds {
    pub(crate) first: Option<u64>,
    pub(crate) count: u64,
    pub(crate) profile: Profile,
    pub(crate) size: Size,
}

/// How large sites are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Size {
    /// By the seed.
    Mixed,
    /// By the seed, and rather small.
    Small,
    /// So many hosts, peers at each, and hours.
    Given(u8, u32, u64),
}

impl Seeds {
    fn shape(&self, seed: u64) -> Shape {
        match self.size {
            Size::Mixed => Shape::mixed(seed, self.profile),
            Size::Small => Shape::small(seed, self.profile),
            Size::Given(hosts, peers, hours) => Shape {
                seed,
                hosts,
                peers,
                hours,
                profile: self.profile,
            },
        }
    }

    fn from(&self, first: u64) -> impl Iterator<Item = Work> + Send {
        self.after(Vec::new(), first)
    }

    /// Some runs, and then those from this seed on.
    fn after(&self, some: Vec<Shape>, first: u64) -> impl Iterator<Item = Work> + Send {
        let seeds = numbers(first, self.count).map(|seed| self.shape(seed));
        some.into_iter().chain(seeds).map(Work::Seed)
    }
}

/// So many numbers from the first on, or fewer if there are no more.
pub(crate) fn numbers(first: u64, count: u64) -> impl Iterator<Item = u64> + Send {
    (0..count).map_while(move |number| first.checked_add(number))
}

impl Campaign {
    /// Plays seeds, after those that the totals have already. Gives whether no promise was broken.
    ///
    /// # Errors
    /// If they cannot be played or the totals not be kept.
    pub(crate) fn storm(&self, seeds: &Seeds) -> Result<bool> {
        let kept = self.totals.as_deref().map(TotalsFile::open).transpose()?;
        let (mut file, mut totals) = match kept {
            Some((file, totals)) => (Some(file), totals),
            None => (None, Totals::default()),
        };
        let unfinished = totals.unfinished();
        let first = match seeds.first {
            Some(first) => first,
            None => {
                let begun = unfinished.iter().map(|shape| shape.seed).max();
                let next = totals.largest.max(begun).unwrap_or(0).checked_add(1);
                let next = next.context("the totals have the last seed; give --first")?;
                next.max(FRESH)
            }
        };
        if totals.runs > 0 {
            print!("so far: {}", totals.text());
        }
        let others = totals.played.iter();
        let others = others.filter(|shape| seeds.shape(shape.seed) != **shape);
        match others.count() {
            0 => {}
            others => println!("{others} of these runs had other sizes or profiles than this call"),
        }
        if !unfinished.is_empty() {
            println!("first {} that were not finished", unfinished.len());
        }
        println!("{} seeds from {first} on", seeds.count);
        let unfinished_runs = u64::try_from(unfinished.len())?;
        let count = seeds.count.saturating_add(unfinished_runs);
        let mut begins = file.as_ref().map(TotalsFile::beginnings).transpose()?;
        // What is in the totals counts once.
        let played = totals.played.clone();
        let work = seeds.after(unfinished, first);
        let mut known = played;
        let is_new = move |work: &Work| match work {
            Work::Seed(shape) => known.insert(*shape),
            Work::Plan(..) => true,
        };
        let is_time = self.is_time();
        let work = work.filter(is_new).take_while(move |_| is_time());
        let work = work.inspect(move |work| {
            let Work::Seed(shape) = work else { return };
            if let Some(begins) = &mut begins {
                begins(*shape);
            }
            if seeds.count <= NAMED {
                println!("{shape}");
            }
        });
        let kept = self.judge(work, count, &mut totals, file.as_mut())?;
        Ok(reaches_everything(&totals) && kept)
    }

    /// Whether it is time to begin another run, from now on.
    #[expect(clippy::disallowed_methods, reason = "a campaign ends by the clock")]
    fn is_time(&self) -> impl Fn() -> bool + Send + use<> {
        let (begun, until) = (Instant::now(), self.until);
        move || until.is_none_or(|until| begun.elapsed() < until)
    }

    /// Plays the fixed runs. Gives whether no promise was broken.
    ///
    /// # Errors
    /// If they cannot be read or played.
    pub(crate) fn fixed(&self) -> Result<bool> {
        let work = fixed::work(fixed::directory())?;
        let count = u64::try_from(work.len())?;
        println!("{count} fixed runs");
        self.judge(work.into_iter(), count, &mut Totals::default(), None)
    }

    fn judge(
        &self,
        mut work: impl Iterator<Item = Work> + Send,
        count: u64,
        totals: &mut Totals,
        file: Option<&mut TotalsFile>,
    ) -> Result<bool> {
        let runs_before = totals.runs;
        let mut judge = Judge {
            campaign: self,
            progress: Progress::new(totals.runs, count),
            revision: revision(),
            before: totals.failures(),
            totals,
            file,
            runner: Elsewhere::default(),
        };
        pool::play(
            &mut work,
            self.jobs,
            &self.play,
            &Elsewhere::default,
            &mut judge,
        )?;
        judge.progress.clear();
        let failures = judge.totals.failures() - judge.before;
        print!("{}{}", totals.coverage.table(), totals.text());
        ensure!(
            totals.runs > runs_before,
            "no run was played: the totals have these seeds, or there was no time for any"
        );
        Ok(failures == 0)
    }

    /// Proves that each run is the same when it is played again, and prints its digest.
    ///
    /// # Errors
    /// If they cannot be played.
    pub(crate) fn prove(&self, seeds: &Seeds) -> Result<bool> {
        let play = Play {
            digest: Digesting::Everything,
            ..self.play.clone()
        };
        let mut lines = Vec::new();
        let mut same = true;
        let runner = || Prover {
            one: Elsewhere::default(),
            other: Elsewhere::default(),
        };
        let sink = &mut |done: Done| {
            let name = done.work.name();
            let summary = done.outcome.summary.as_ref();
            let line = match (&done.outcome.broken, summary) {
                (Some(broken), _) => {
                    same &= broken.promise != simulation::promise::Promise::SameRun;
                    format!("{name}: {broken}")
                }
                (None, Some(summary)) => format!("{name}: {:016x}", summary.digest),
                (None, None) => format!("{name}: nothing came of it"),
            };
            lines.push((seed(&done.work), line));
            Ok(ControlFlow::Continue(()))
        };
        let mut work = seeds.from(seeds.first.unwrap_or(FRESH));
        pool::play(&mut work, self.jobs, &play, &runner, sink)?;
        lines.sort();
        for (_, line) in lines {
            println!("{line}");
        }
        Ok(same)
    }

    /// Plays seeds with a planted fault until a promise that is to find it does, by default from 1
    /// on: the records of which fault is found in which run are of these. Gives whether one did.
    ///
    /// # Errors
    /// If they cannot be played.
    pub(crate) fn planted(&self, seeds: &Seeds, planted: &Planted) -> Result<bool> {
        let play = Play {
            planted: planted.number,
            digest: planted.digest(),
            ..self.play.clone()
        };
        let (mut runs, mut seconds, mut found, mut others) = (0u64, 0.0, None, 0u64);
        let sink = &mut |done: Done| {
            if found.is_some() {
                // It was being played meanwhile.
                return Ok(ControlFlow::Break(()));
            }
            runs += 1;
            seconds += done.took.as_secs_f64();
            Ok(match done.outcome.broken {
                Some(broken) if planted.is_found_by(broken.promise) => {
                    found = Some((done.work.name(), broken));
                    ControlFlow::Break(())
                }
                broken => {
                    others += u64::from(broken.is_some());
                    ControlFlow::Continue(())
                }
            })
        };
        let slow = Seeds {
            profile: Profile::Steady,
            size: SLOW,
            count: seeds.count.min(SLOW_RUNS),
            ..*seeds
        };
        let seeds = if planted.is_slow() { &slow } else { seeds };
        let mut work = seeds.from(seeds.first.unwrap_or(1));
        let runner = || Accused(planted.player());
        pool::play(&mut work, self.jobs, &play, &runner, sink)?;
        let (number, name) = (planted.number, &planted.name);
        match &found {
            Some((at, broken)) => {
                println!("{number:02} {name}: run {runs}, {at}, {seconds:.1} s, {broken}");
            }
            None => println!("{number:02} {name}: NOT FOUND in {runs} runs, {seconds:.1} s"),
        }
        if others > 0 {
            println!("   in {others} other runs it broke promises that are not to find it");
        }
        Ok(found.is_some())
    }
}

/// Whether each fault had an effect, once there were enough storms of sites by the seed; else they
/// prove less than they seem to. Other runs do not reach everything, and of smaller seeds than
/// [`FRESH`] only what was planned is expected.
fn reaches_everything(totals: &Totals) -> bool {
    let storms = &totals.storms;
    let expected = if storms.fresh < REACHED { &[] } else { NAMES };
    let without = storms.coverage.without_effect(expected);
    if storms.runs < REACHED || without.is_empty() {
        return true;
    }
    let without: Vec<&str> = without.into_iter().collect();
    println!("these had no effect in any run: {}", without.join(", "));
    false
}

fn seed(work: &Work) -> u64 {
    match work {
        Work::Seed(shape) => shape.seed,
        Work::Plan(..) => 0,
    }
}

/// What is made of the runs of a campaign.
struct Judge<'a> {
    campaign: &'a Campaign,
    progress: Progress,
    revision: String,
    /// How many failures there were before.
    before: u64,
    totals: &'a mut Totals,
    file: Option<&'a mut TotalsFile>,
    /// What examines failures.
    runner: Elsewhere,
}

impl Sink for Judge<'_> {
    fn take(&mut self, done: Done) -> Result<ControlFlow<()>> {
        let line = Line::of(&done, &self.revision);
        self.totals.add(&line);
        if let Some(file) = &mut self.file {
            file.add(&line)?;
        }
        for machine in done.outcome.summary.iter().flat_map(|it| &it.growth) {
            self.progress.clear();
            println!("{}: {machine}", done.work.name());
        }
        if let Some(broken) = &done.outcome.broken {
            self.progress.clear();
            // At once, since it takes minutes to make the plan smaller.
            print!("{}", failure::headline(&done.work, broken));
            let play = &self.campaign.play;
            match failure::examine(&done.work, broken, play, &mut self.runner) {
                Ok(text) => print!("{text}"),
                Err(error) => println!("  it cannot be made smaller or recorded: {error:#}"),
            }
        }
        self.progress.tell(self.totals);
        let is_over = self.totals.failures() - self.before >= self.campaign.failures;
        Ok(if is_over {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn wait(&mut self) {
        self.progress.tell(self.totals);
    }
}

/// The version of the sources, for those who find a line in the totals.
fn revision() -> String {
    let said = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(fixed::directory())
        .output();
    match said {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Plays one plan again, and writes recordings if they are wanted. Gives whether no promise was
/// broken.
///
/// # Errors
/// If it cannot be read or played.
pub(crate) fn again(path: &Path, record: Option<PathBuf>, frames: bool) -> Result<bool> {
    let play = Play {
        record,
        frames,
        ..Play::default()
    };
    let work = fixed::case(path)?;
    println!("{}: seed {}", work.name(), work.plan().seed);
    // Elsewhere, since a panic would end this process without a word about P17.
    let outcome = Elsewhere::default().run(&work, &play)?;
    if let Some(summary) = &outcome.summary {
        print!("{}", summary.coverage.table());
        println!("digest {:016x}, {} steps", summary.digest, summary.steps);
    }
    if let Some(broken) = &outcome.broken {
        print!("{}", failure::headline(&work, broken));
    }
    Ok(outcome.broken.is_none())
}

#[cfg(test)]
mod tests;
