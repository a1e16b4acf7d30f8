// SPDX-License-Identifier: GPL-3.0-or-later
//! The results as JSON, for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::Line;
use super::machine::Machine;
use super::plot::{self, Growth};

/// The version of this form. It is raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Everything that one run of the benchmark found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Results<'a> {
    schema: u32,
    /// Seconds since 1970.
    measured_at: u64,
    machine: &'a Machine,
    quick: bool,
    runs: usize,
    lines: &'a [Line],
    growth: &'a [Growth],
}

impl<'a> Results<'a> {
    /// All results together.
    pub(crate) fn new(
        machine: &'a Machine,
        quick: bool,
        runs: usize,
        lines: &'a [Line],
        growth: &'a [Growth],
    ) -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Results {
            schema: SCHEMA,
            measured_at: now.as_secs(),
            machine,
            quick,
            runs,
            lines,
            growth,
        }
    }

    /// The text, readable by people as well.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// The part of the results that the plots are made of.
#[derive(Debug, Deserialize)]
struct Plotted {
    schema: u32,
    growth: Vec<Growth>,
}

/// The name of the file with the results.
pub(crate) const FILE: &str = "results.json";

/// Draws the plots of the results in `directory`, beside them.
///
/// # Errors
/// If the results cannot be read, or a plot cannot be written.
pub(crate) fn draw(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let plotted: Plotted = serde_json::from_str(&text)
        .with_context(|| format!("{} has no results", path.display()))?;
    ensure!(
        plotted.schema == SCHEMA,
        "{} has form {}, but this program reads form {SCHEMA}",
        path.display(),
        plotted.schema
    );
    for growth in &plotted.growth {
        let path = directory.join(format!("{}.svg", growth.file));
        fs::write(&path, plot::render(growth)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
