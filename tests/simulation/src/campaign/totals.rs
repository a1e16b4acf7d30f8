// SPDX-License-Identifier: GPL-3.0-or-later
//! What came of all runs so far, and the file that keeps it: a line for each run that begins, and
//! one for each that is over. A campaign that was ended goes on where it was, and plays first what
//! was being played when it was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use simulation::coverage::Coverage;
use simulation::plan::Profile;
use simulation::promise::Broken;

use super::FRESH;
use super::pool::Done;
use super::shape::Shape;
use super::work::Work;

/// One run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Line {
    /// What it was made from; nothing for a plan that was kept.
    #[serde(flatten)]
    shape: Option<Shape>,
    steps: u64,
    pings: u64,
    scripts: u64,
    jobs: u64,
    /// How long it was in the world.
    simulated: u64,
    /// How long it took, in processor time.
    seconds: f64,
    /// The version of the sources.
    revision: String,
    coverage: Coverage,
    broken: Option<Broken>,
}

impl Line {
    /// What came of a run of these sources.
    pub(crate) fn of(done: &Done, revision: &str) -> Self {
        let summary = done.outcome.summary.clone().unwrap_or_default();
        Line {
            shape: match &done.work {
                Work::Seed(shape) => Some(*shape),
                Work::Plan(..) => None,
            },
            steps: summary.steps,
            pings: summary.pings,
            scripts: summary.scripts,
            jobs: summary.jobs,
            simulated: done.outcome.until.0 / 1_000_000_000,
            seconds: done.took.as_secs_f64(),
            revision: revision.to_owned(),
            coverage: summary.coverage,
            broken: done.outcome.broken.clone(),
        }
    }
}

/// A run begins.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Begun {
    begun: Beginning,
}

/// What begins.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Beginning {
    Shape(Shape),
    /// In files of earlier versions: the seed of a storm.
    Seed(u64),
}

impl Beginning {
    const fn shape(self) -> Shape {
        match self {
            Beginning::Shape(shape) => shape,
            Beginning::Seed(seed) => Shape::mixed(seed, Profile::Storm),
        }
    }
}

/// What came of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    steps: u64,
    pings: u64,
    scripts: u64,
    jobs: u64,
    /// Seconds of the worlds.
    simulated: u64,
    /// Seconds of processor time.
    seconds: f64,
    pub(crate) coverage: Coverage,
    pub(crate) storms: Storms,
    /// How many runs broke each promise, by its name.
    pub(crate) broken: BTreeMap<&'static str, u64>,
    /// The largest seed.
    pub(crate) largest: Option<u64>,
    /// What was played.
    pub(crate) played: BTreeSet<Shape>,
    /// What was begun.
    begun: BTreeSet<Shape>,
}

/// Those of the runs that are storms of sites by the seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Storms {
    pub(crate) runs: u64,
    /// How many of them have all kinds of faults.
    pub(crate) fresh: u64,
    pub(crate) coverage: Coverage,
}

impl Totals {
    /// Adds a run, unless it has it already.
    pub(crate) fn add(&mut self, line: &Line) {
        if line.shape.is_some_and(|shape| !self.played.insert(shape)) {
            return;
        }
        self.runs += 1;
        self.steps = self.steps.saturating_add(line.steps);
        self.pings = self.pings.saturating_add(line.pings);
        self.scripts = self.scripts.saturating_add(line.scripts);
        self.jobs = self.jobs.saturating_add(line.jobs);
        self.simulated = self.simulated.saturating_add(line.simulated);
        self.seconds += line.seconds;
        self.coverage.add(&line.coverage);
        if let Some(shape) = line.shape.filter(Shape::is_usual) {
            self.storms.runs += 1;
            self.storms.fresh += u64::from(shape.seed >= FRESH);
            self.storms.coverage.add(&line.coverage);
        }
        if let Some(broken) = &line.broken {
            *self.broken.entry(broken.promise.name()).or_default() += 1;
        }
        let seed = line.shape.map(|shape| shape.seed);
        self.largest = self.largest.max(seed);
    }

    /// What was being played when a campaign was killed.
    pub(crate) fn unfinished(&self) -> Vec<Shape> {
        self.begun.difference(&self.played).copied().collect()
    }

    /// How many runs broke a promise.
    pub(crate) fn failures(&self) -> u64 {
        self.broken.values().sum()
    }

    /// How fast it is: seconds of the worlds for one of a processor core.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded figure for people"
    )]
    pub(crate) fn speed(&self) -> u64 {
        // Exact up to 2^53 seconds, of which there are not so many.
        let simulated = Duration::from_secs(self.simulated).as_secs_f64();
        (simulated / self.seconds.max(0.001)).round() as u64
    }

    /// All of it in a few lines.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let (runs, days) = (grouped(self.runs), grouped(self.simulated / 86_400));
        let _ = writeln!(
            text,
            "{runs} runs, {days} simulated days, {:.0} s of a core, speed {} : 1",
            self.seconds,
            grouped(self.speed())
        );
        let (steps, pings) = (grouped(self.steps), grouped(self.pings));
        let (scripts, jobs) = (grouped(self.scripts), grouped(self.jobs));
        let _ = writeln!(
            text,
            "{steps} steps, {pings} pings, {scripts} scripts, {jobs} jobs"
        );
        match self.failures() {
            0 => text.push_str("no promise was broken\n"),
            failures => {
                let _ = writeln!(text, "{} runs broke a promise:", grouped(failures));
                for (name, count) in &self.broken {
                    let _ = writeln!(text, "  {name:<4} {}", grouped(*count));
                }
            }
        }
        text
    }
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The file of totals.
#[derive(Debug)]
pub(crate) struct TotalsFile {
    file: File,
}

impl TotalsFile {
    /// Reads the file, or creates it. Half a line at its end, of a campaign that was killed, is
    /// removed.
    ///
    /// # Errors
    /// If it cannot be read or written, another campaign has it, or it is no file of totals.
    pub(crate) fn open(path: &Path) -> Result<(Self, Totals)> {
        let name = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot open {name}"))?;
        file.try_lock()
            .with_context(|| format!("another campaign writes {name}"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let (lines, rest) = bytes.split_at(whole.map_or(0, |end| end + 1));
        let mut totals = Totals::default();
        for (number, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if let Ok(Begun { begun }) = serde_json::from_slice(line) {
                totals.begun.insert(begun.shape());
                continue;
            }
            let line: Line = serde_json::from_slice(line)
                .with_context(|| format!("{name}, line {}, is no run", number + 1))?;
            totals.add(&line);
        }
        // What is over counts, whatever it was. Only what is to be played must be possible.
        for shape in totals.unfinished() {
            ensure!(
                shape.is_possible(),
                "{name}: a run has begun that cannot be played: {shape}"
            );
        }
        ensure!(is_half_a_line(rest), "{name} is no file of totals");
        file.set_len(u64::try_from(lines.len())?)?;
        file.seek(SeekFrom::End(0))?;
        Ok((TotalsFile { file }, totals))
    }

    /// What notes each run that begins. If it cannot, that run is only not played again if the
    /// campaign is killed meanwhile.
    ///
    /// # Errors
    /// If the file cannot be opened once more.
    pub(crate) fn beginnings(&self) -> Result<impl FnMut(Shape) + Send + use<>> {
        let file = self.file.try_clone();
        let mut file = file.context("cannot open the totals once more")?;
        Ok(move |begun| {
            let text = serde_json::to_string(&Begun {
                begun: Beginning::Shape(begun),
            });
            let _ = text.map(|text| file.write_all((text + "\n").as_bytes()));
        })
    }

    /// Adds a run, with one write.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .context("cannot write the totals")
    }
}

/// Whether this may be the beginning of a line of totals: of a run that begins, or of one that is
/// over, made from a seed or from a plan.
fn is_half_a_line(rest: &[u8]) -> bool {
    let beginnings: [&[u8]; 3] = [b"{\"begun\":", b"{\"seed\":", b"{\"steps\":"];
    let mut beginnings = beginnings.into_iter();
    beginnings.any(|beginning| rest.starts_with(beginning) || beginning.starts_with(rest))
}

#[cfg(test)]
mod tests {
    use simulation::coverage::Count;
    use simulation::instant::Instant;
    use simulation::plan::HostId;
    use simulation::promise::Promise;

    use super::super::tests::alone;
    use super::*;

    fn line(seed: u64, broken: Option<Promise>) -> Line {
        let count = Count {
            planned: 3,
            done: 2,
            effective: 1,
        };
        Line {
            shape: Some(Shape::mixed(seed, Profile::Storm)),
            steps: 10,
            pings: 5,
            scripts: 2,
            jobs: 1,
            simulated: 86_400,
            seconds: 0.5,
            revision: "abc".to_owned(),
            coverage: Coverage([("quit".to_owned(), count)].into()),
            broken: broken.map(|promise| Broken {
                promise,
                at: Instant(1),
                host: HostId(0),
                text: "made up".to_owned(),
            }),
        }
    }

    #[test]
    fn a_campaign_that_was_killed_goes_on_with_the_right_totals() {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("totals.jsonl");
        let (mut file, mut totals) = TotalsFile::open(&path).unwrap();
        assert_eq!(totals, Totals::default());
        for (seed, broken) in [(7, None), (9, Some(Promise::Scripts)), (8, None)] {
            let line = line(seed, broken);
            file.add(&line).unwrap();
            totals.add(&line);
        }
        // It is killed in the middle of a line.
        let half = serde_json::to_string(&line(10, None)).unwrap();
        file.file.write_all(&half.as_bytes()[..40]).unwrap();
        drop(file);

        let (mut file, read) = TotalsFile::open(&path).unwrap();
        assert_eq!(read, totals);
        assert_eq!((read.runs, read.largest), (3, Some(9)));
        assert_eq!(read.coverage.0["quit"].effective, 3);
        assert_eq!(read.broken, BTreeMap::from([("P5", 1)]));
        file.add(&line(10, None)).unwrap();
        drop(file);
        let (_, read) = TotalsFile::open(&path).unwrap();
        assert_eq!((read.runs, read.largest), (4, Some(10)));
    }

    #[test]
    fn what_was_being_played_when_a_campaign_was_killed_is_named() {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("totals.jsonl");
        let (mut file, totals) = TotalsFile::open(&path).unwrap();
        assert_eq!(totals.unfinished(), []);
        let mut begins = file.beginnings().unwrap();
        let shapes = [7, 8, 9].map(|seed| Shape::small(seed, Profile::Calm));
        for shape in shapes {
            begins(shape);
        }
        let of_another_size = line(7, None);
        let mut played = line(8, None);
        played.shape = Some(shapes[1]);
        file.add(&of_another_size).unwrap();
        file.add(&played).unwrap();
        drop((file, begins));
        let (_, read) = TotalsFile::open(&path).unwrap();
        assert_eq!(read.unfinished(), [shapes[0], shapes[2]]);
        assert_eq!(read.runs, 2);
    }

    #[test]
    fn only_storms_by_the_seed_are_to_reach_everything() {
        let mut totals = Totals::default();
        for seed in [1, 2] {
            totals.add(&line(seed, None));
        }
        let mut calm = line(3, None);
        calm.shape = Some(Shape::mixed(3, Profile::Calm));
        totals.add(&calm);
        assert_eq!((totals.runs, totals.storms.runs), (3, 2));
        assert_eq!(totals.storms.coverage.0["quit"].planned, 6);
    }

    #[test]
    fn a_run_that_stands_twice_counts_once() {
        let mut totals = Totals::default();
        for seed in [7, 7, 8] {
            totals.add(&line(seed, Some(Promise::Scripts)));
        }
        assert_eq!((totals.runs, totals.failures()), (2, 2));
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("totals.jsonl");
        let played = serde_json::to_string(&line(7, None)).unwrap();
        let text = format!("{{\"begun\":7}}\n{{\"begun\":8}}\n{played}\n");
        std::fs::write(&path, text).unwrap();
        let (_, read) = TotalsFile::open(&path).unwrap();
        assert_eq!(read.unfinished(), [Shape::mixed(8, Profile::Storm)]);
    }

    #[test]
    fn two_campaigns_do_not_write_one_file() {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("totals.jsonl");
        let (_first, _) = TotalsFile::open(&path).unwrap();
        TotalsFile::open(&path).unwrap_err();
    }

    #[test]
    fn another_file_is_not_taken_for_totals_nor_changed() {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letter.txt");
        for (text, expected) in [
            (&b"Dear reader,\n"[..], "line 1, is no run"),
            (b"\xff\xfe\n", "line 1, is no run"),
            (b"Dear reader", "no file of totals"),
            (b"{\"important\":\"one line\"}", "no file of totals"),
            (
                b"{\"begun\":{\"seed\":1,\"hosts\":0,\"peers\":4,\"hours\":8,\"profile\":\"storm\"}}\n",
                "cannot be played",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = TotalsFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), text);
        }
    }

    #[test]
    fn the_totals_in_words() {
        let mut totals = Totals::default();
        for seed in 1..=1_234 {
            totals.add(&line(seed, (seed == 5).then_some(Promise::Empty)));
        }
        let text = "1,234 runs, 1,234 simulated days, 617 s of a core, speed 172,800 : 1\n\
                    12,340 steps, 6,170 pings, 2,468 scripts, 1,234 jobs\n\
                    1 runs broke a promise:\n  E5   1\n";
        assert_eq!(totals.text(), text);
    }
}
