// SPDX-License-Identifier: GPL-3.0-or-later
//! One run of a campaign: what is played, how, and what came of it.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use simulation::instant::Instant;
use simulation::narrative::Narrative;
use simulation::plan::Plan;
use simulation::promise::Broken;
use simulation::promises::Promises;
use simulation::seen::Watcher;
use simulation::world::{Digesting, How, Provider, Summary, World};

use super::shape::Shape;
use crate::planting;

/// What is played.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// The plan of a seed.
    Seed(Shape),
    /// A plan that was kept, with the name of its file.
    Plan(String, Box<Plan>),
}

impl Work {
    /// The plan.
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Work::Seed(shape) => shape.plan(),
            Work::Plan(_, plan) => (**plan).clone(),
        }
    }

    /// What it is called in a report.
    pub(crate) fn name(&self) -> String {
        match self {
            Work::Seed(shape) => format!("seed {}", shape.seed),
            Work::Plan(name, _) => name.clone(),
        }
    }
}

/// How it is played.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Play {
    pub(crate) digest: Digesting,
    /// Whether each message between processes is encoded and decoded.
    pub(crate) frames: bool,
    /// Whether it is held against no promise.
    pub(crate) unjudged: bool,
    /// The planted fault; 0 is none.
    pub(crate) planted: u32,
    /// Where recordings and the narrative go, if they are wanted.
    pub(crate) record: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Outcome {
    /// Of a run that broke nothing.
    pub(crate) summary: Option<Summary>,
    pub(crate) broken: Option<Broken>,
    /// When the run ended, or was to end.
    pub(crate) until: Instant,
}

/// Something that plays.
pub(crate) trait Runner {
    /// Plays one run.
    ///
    /// # Errors
    /// If it could not be played; a broken promise is no error.
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome>;

    /// Plays one run, and gives nothing if it takes longer than this by the clock.
    ///
    /// # Errors
    /// As [`Runner::run`].
    fn run_within(
        &mut self,
        work: &Work,
        play: &Play,
        _limit: Duration,
    ) -> Result<Option<Outcome>> {
        self.run(work, play).map(Some)
    }

    /// The processor time of all its runs so far; nothing, if it does not measure it.
    fn processor_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// Plays in this very process.
#[derive(Debug)]
pub(crate) struct Here;

impl Runner for Here {
    fn run(&mut self, work: &Work, play: &Play) -> Result<Outcome> {
        planting::set(play.planted)?;
        let plan = work.plan();
        let how = How {
            provider: Provider::Product,
            recording: play.record.clone(),
            digest: play.digest,
            frames: play.frames,
        };
        let promises = || Promises::new(&plan, Provider::Product);
        let played = match &play.record {
            Some(directory) => {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                let path = directory.join("narrative.txt");
                let file = File::create(&path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                let watchers = (promises(), Narrative::new(BufWriter::new(file)));
                let ((_, narrative), played) = World::new(&plan, how, watchers).run();
                narrative
                    .finish()
                    .with_context(|| format!("cannot write {}", path.display()))?;
                played
            }
            None if play.unjudged => watched(&plan, how, ()),
            None => watched(&plan, how, promises()),
        };
        let (summary, broken) = match played {
            Ok(summary) => (Some(summary), None),
            Err(broken) => (None, Some(broken)),
        };
        Ok(Outcome {
            summary,
            until: broken.as_ref().map_or(plan.until, |it| it.at),
            broken,
        })
    }

    /// Of this thread. The clock on the wall would also count the time in which others had the
    /// processor.
    fn processor_time(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        // Neither part is ever negative.
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
    }
}

fn watched(plan: &Plan, how: How, watcher: impl Watcher) -> Result<Summary, Broken> {
    World::new(plan, how, watcher).run().1
}
