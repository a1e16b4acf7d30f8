// SPDX-License-Identifier: GPL-3.0-or-later
//! Memory and descriptors of the service's processes, once a second. In the end a line is fitted to
//! each over the longest life of each part, and the descriptors at rest are compared with those at
//! rest in the beginning.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use connect_ipc::clock::Monotonic;
use judge::slope::{Slope, fit};
use serde::{Deserialize, Serialize};

use crate::world::descriptors;
use crate::world::service::{Part, Service};

/// How often they are looked up.
const EVERY: Duration = Duration::from_secs(1);

/// A process fills its tables and buffers in this time in seconds, or in this part of its life if
/// that is longer; what it needs then is not counted.
const WARM: f64 = 10.0;
const WARM_PART: f64 = 1.0 / 3.0;

/// A line over fewer points says nothing: the allocator takes memory in steps.
const POINTS: usize = 30;

/// How many standard errors the slope must be above zero. The points are not independent, since
/// memory that was taken stays, so this alone would be too little.
const ERRORS: f64 = 4.0;

/// How much the line must rise in all: several steps of the allocator, and at 200 pings a second
/// some twenty bytes for each ping of five minutes.
const RISE_KIB: f64 = 1024.0;

/// How much the line of the descriptors must rise in all: each script that runs has three, and how
/// many run changes all the time.
const RISE_DESCRIPTORS: f64 = 30.0;

/// A look at a process.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Seconds since the first look.
    at: f64,
    kib: f64,
    descriptors: f64,
}

/// A process from its first to its last look.
#[derive(Debug)]
struct Life {
    part: Part,
    began: Monotonic,
    samples: Vec<Sample>,
}

/// All looks.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    lives: BTreeMap<i32, Life>,
    next: Monotonic,
    /// The descriptors of each part at rest in the beginning, and in the end.
    beginning: BTreeMap<Part, u64>,
    end: BTreeMap<Part, u64>,
}

/// What was found of a part.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PartReport {
    pub(crate) part: String,
    /// Of its longest life, in seconds.
    pub(crate) seconds: f64,
    /// Resident memory at the first and the last look, in KiB.
    pub(crate) first_kib: f64,
    pub(crate) last_kib: f64,
    /// How much the fitted line rises in a minute, in KiB; `None` if there were too few looks, so
    /// that nobody knows whether the part leaks.
    pub(crate) kib_a_minute: Option<f64>,
    /// The same of the open descriptors.
    pub(crate) descriptors_a_minute: Option<f64>,
    /// Open descriptors at rest.
    pub(crate) descriptors_before: u64,
    pub(crate) descriptors_after: u64,
    /// What is clearly a leak.
    pub(crate) leaks: Vec<String>,
}

impl PartReport {
    /// Whether a life was long enough to say that the part does not leak.
    pub(crate) const fn is_judged(&self) -> bool {
        self.kib_a_minute.is_some() && self.descriptors_a_minute.is_some()
    }
}

impl Samples {
    /// Looks at the processes if it is time.
    pub(crate) fn tend(&mut self, service: &Service, now: Monotonic) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        for part in Part::ALL {
            let Some(pid) = service.pid(part) else {
                continue;
            };
            let Some(kib) = resident(pid) else { continue };
            let life = self.lives.entry(pid).or_insert_with(|| Life {
                part,
                began: now,
                samples: Vec::new(),
            });
            let at = now.since(life.began).as_secs_f64();
            // One that has ended meanwhile has none, and is not looked at again.
            let descriptors = f64::from(u32::try_from(descriptors::count(pid)).unwrap_or(u32::MAX));
            life.samples.push(Sample {
                at,
                kib,
                descriptors,
            });
        }
    }

    /// Looks at the descriptors at rest in the beginning. The fewest of several looks count, since
    /// some connections last only a moment.
    pub(crate) fn begin(&mut self, service: &Service) {
        count(service, &mut self.beginning);
    }

    /// Looks at the descriptors at rest in the end. Whether there are no more than in the
    /// beginning: then core may have been about to close a connection.
    pub(crate) fn end(&mut self, service: &Service) -> bool {
        count(service, &mut self.end);
        let at = |part: &Part| self.beginning.get(part).copied().unwrap_or(0);
        let mut ends = self.end.iter();
        ends.all(|(part, count)| *count <= at(part))
    }

    /// What was found.
    pub(crate) fn reports(&self) -> Vec<PartReport> {
        Part::ALL
            .into_iter()
            .map(|part| {
                let lives = self.lives.values().filter(|life| life.part == part);
                let samples = lives
                    .map(|life| life.samples.as_slice())
                    .max_by_key(|samples| samples.len())
                    .unwrap_or_default();
                let at = |counts: &BTreeMap<Part, u64>| counts.get(&part).copied().unwrap_or(0);
                report(part, samples, (at(&self.beginning), at(&self.end)))
            })
            .collect()
    }
}

/// Counts the descriptors of each part, and keeps the fewest.
fn count(service: &Service, fewest: &mut BTreeMap<Part, u64>) {
    for part in Part::ALL {
        let open = service.pid(part).map(descriptors::count);
        if let Some(open @ 1..) = open {
            let known = fewest.entry(part).or_insert(u64::MAX);
            *known = (*known).min(open);
        }
    }
}

/// The resident memory of a process in KiB, without the pages of its program: those become
/// resident when they are first used, however late. `None` if it has ended.
fn resident(pid: i32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How a value rises over a life, once its beginning is over; `None` if that is too short.
fn line(samples: &[Sample], of: fn(&Sample) -> f64) -> Option<Slope> {
    let from = samples
        .last()
        .map_or(WARM, |last| WARM.max(last.at * WARM_PART));
    let warm = samples.iter().filter(|it| it.at >= from);
    let points: Vec<_> = warm.map(|it| (it.at, of(it))).collect();
    if points.len() < POINTS {
        None
    } else {
        fit(&points)
    }
}

/// Whether a value clearly grows, by so much in all.
fn grows(line: Option<Slope>, rise: f64) -> bool {
    line.is_some_and(|line| line.slope > ERRORS * line.error && line.slope * line.length > rise)
}

fn report(part: Part, samples: &[Sample], descriptors: (u64, u64)) -> PartReport {
    let kib = |sample: Option<&Sample>| sample.map_or(0.0, |sample| sample.kib);
    let last = samples.last();
    let memory = line(samples, |sample| sample.kib);
    let open = line(samples, |sample| sample.descriptors);
    let a_minute = |line: Option<Slope>| line.map(|line| line.slope * 60.0);
    let name = part.name();
    let mut leaks = Vec::new();
    if grows(memory, RISE_KIB) {
        let rise = a_minute(memory).unwrap_or_default();
        leaks.push(format!(
            "the memory of the {name} grows by {rise:.0} KiB a minute"
        ));
    }
    if grows(open, RISE_DESCRIPTORS) {
        let rise = a_minute(open).unwrap_or_default();
        leaks.push(format!(
            "the {name} has {rise:.0} descriptors more each minute"
        ));
    }
    let (before, after) = descriptors;
    if before < after {
        leaks.push(format!(
            "the {name} has {after} descriptors open at rest, and had {before} in the beginning"
        ));
    }
    PartReport {
        part: name.to_owned(),
        seconds: last.map_or(0.0, |last| last.at),
        first_kib: kib(samples.first()),
        last_kib: kib(last),
        kib_a_minute: a_minute(memory),
        descriptors_a_minute: a_minute(open),
        descriptors_before: before,
        descriptors_after: after,
        leaks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A life of so many seconds, in which the memory grows as said.
    fn samples(seconds: u32, kib: impl Fn(f64) -> f64) -> Vec<Sample> {
        let at = (0..seconds).map(f64::from);
        let sample = |at| Sample {
            at,
            kib: kib(at),
            descriptors: 9.0,
        };
        at.map(sample).collect()
    }

    #[test]
    fn a_steady_growth_is_a_leak_and_steps_of_the_allocator_are_none() {
        let leaks = |samples: &[Sample]| report(Part::Core, samples, (9, 9)).leaks;
        let steady = samples(120, |at| 9_000.0 + 20.0 * at);
        assert_eq!(
            leaks(&steady),
            ["the memory of the core grows by 1200 KiB a minute"]
        );
        assert!(leaks(&steady[..30]).is_empty(), "too short");
        let warm = samples(120, |at| 9_000.0 + 100.0 * at.min(40.0));
        assert!(leaks(&warm).is_empty(), "that was the beginning");
        let step = samples(120, |at| if at < 60.0 { 9_000.0 } else { 9_500.0 });
        assert!(leaks(&step).is_empty());
    }

    #[test]
    fn descriptors_that_become_more_and_more_are_a_leak() {
        let leaks = |open: &dyn Fn(f64) -> f64| {
            let mut samples = samples(120, |_| 9_000.0);
            for sample in &mut samples {
                sample.descriptors = open(sample.at);
            }
            report(Part::Scripts, &samples, (9, 9)).leaks
        };
        let found = leaks(&|at| 20.0 + at / 2.0);
        assert_eq!(
            found,
            ["the script helper has 30 descriptors more each minute"]
        );
        assert!(leaks(&|at| 20.0 + at % 7.0).is_empty());
        assert!(leaks(&|at| 20.0 + at / 10.0).is_empty(), "too few to tell");
    }

    #[test]
    fn a_descriptor_more_at_rest_is_a_leak() {
        let report = report(Part::Pinger, &[], (9, 10));
        assert_eq!(report.leaks.len(), 1);
        assert_eq!(report.kib_a_minute, None);
    }
}
