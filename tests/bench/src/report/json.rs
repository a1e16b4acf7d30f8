// SPDX-License-Identifier: GPL-3.0-or-later
//! The results as JSON, for programs.

use serde::Serialize;

use super::Line;
use super::machine::Machine;
use super::plot::Growth;

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
