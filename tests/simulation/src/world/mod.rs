// SPDX-License-Identifier: GPL-3.0-or-later
//! The world: it plays a plan, and tells a watcher what it sees.

mod truth;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::promise::Broken;
use crate::seen::Watcher;

pub use truth::Truth;

/// How a plan is played.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Who provides the service.
    pub provider: Provider,
    /// The directory for recordings of core, if they are wanted.
    pub recording: Option<PathBuf>,
    /// What the digest is made of.
    pub digest: Digesting,
    /// Whether every message between processes is encoded and decoded, and not one in 64.
    pub frames: bool,
}

/// Who provides the service.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Core, pinger and script helper.
    #[default]
    Product,
    /// The service of the manual.
    Manual,
}

/// What the digest of a run is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digesting {
    /// Nothing.
    Off,
    /// The lines of the server and its clients, and what becomes of scripts.
    #[default]
    Lines,
    /// Every input and output of every machine.
    Everything,
}

/// What came of a run.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// How many steps it took.
    pub steps: u64,
    /// How many pings core sent.
    pub pings: u64,
    /// How many scripts were started.
    pub scripts: u64,
    /// How many jobs the service was given.
    pub jobs: u64,
    /// The digest of everything that [`How::digest`] says.
    pub digest: u64,
    /// What became of the faults.
    pub coverage: Coverage,
}

/// A world.
#[derive(Debug)]
pub struct World<W> {
    watcher: W,
    summary: Summary,
}

impl<W: Watcher> World<W> {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(_plan: &Plan, _how: How, watcher: W) -> Self {
        World {
            watcher,
            summary: Summary::default(),
        }
    }

    /// Plays the plan until its end, or until a promise is broken.
    pub fn run(self) -> (W, Result<Summary, Broken>) {
        (self.watcher, Ok(self.summary))
    }
}
