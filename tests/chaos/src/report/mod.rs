// SPDX-License-Identifier: GPL-3.0-or-later
//! What came of a run, for people and for programs.

pub(crate) mod collect;
mod narrative;
mod needs;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::leaks::PartReport;
use crate::options::Layout;
use judge::Row;

/// Whether faults were found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Clean,
    Faulty,
}

impl Verdict {
    /// As an exit status.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Verdict::Clean => ExitCode::SUCCESS,
            Verdict::Faulty => ExitCode::FAILURE,
        }
    }
}

/// One fault that was found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct FoundFault {
    pub(crate) row: Row,
    /// `None` for the service as a whole.
    pub(crate) peer: Option<String>,
    /// Milliseconds after the beginning of the run.
    pub(crate) at: u64,
    pub(crate) text: String,
}

/// All that happened to a peer with faults, in the order of time, a line each.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Narrative {
    pub(crate) peer: String,
    pub(crate) lines: Vec<String>,
}

/// What those got who used the service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LoadReport {
    /// Of all observers.
    pub(crate) connections: u64,
    pub(crate) events: u64,
    /// Events that the service left out and said so.
    pub(crate) dropped: u64,
    pub(crate) scrapes: u64,
    pub(crate) scrapes_answered: u64,
    /// Seconds in which the service is known to have been able to run scripts, in times that are
    /// long enough to look for lost ones.
    pub(crate) healthy: u64,
}

/// A run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) layout: Layout,
    pub(crate) seconds: u64,
    pub(crate) peers: u16,
    /// How often each fault was made.
    pub(crate) made: BTreeMap<String, u64>,
    /// The faults that could not be made here.
    pub(crate) left_out: Vec<String>,
    /// How long it took until the service worked again, in milliseconds, by what was killed.
    pub(crate) recovery: BTreeMap<String, Vec<u64>>,
    pub(crate) load: LoadReport,
    /// Memory and descriptors of each part.
    pub(crate) parts: Vec<PartReport>,
    pub(crate) scripts: u64,
    pub(crate) additions: u64,
    /// Scripts that an operator had run once more, or that may have been.
    pub(crate) requests: u64,
    /// Runs of which the service said that nobody knows what happened to them.
    pub(crate) told: u64,
    /// How many faults of each kind there are; `None` if that was not judged.
    pub(crate) rows: BTreeMap<Row, Option<u64>>,
    pub(crate) faults: Vec<FoundFault>,
    pub(crate) histories: Vec<Narrative>,
    /// The directory, if it was kept.
    pub(crate) directory: Option<String>,
}

impl Report {
    /// How many faults of this kind were found.
    pub(crate) fn count(&self, row: Row) -> u64 {
        self.rows.get(&row).copied().flatten().unwrap_or(0)
    }

    /// How many faults of this kind were found, in words: a dash if none was and it was not judged.
    pub(crate) fn figure(&self, row: Row) -> String {
        match self.rows.get(&row) {
            Some(None) => "-".to_owned(),
            _ => self.count(row).to_string(),
        }
    }

    /// How many processes were killed.
    pub(crate) fn kills(&self) -> u64 {
        let made = self.made.iter();
        let kills = made.filter(|(name, _)| name.starts_with("kill "));
        kills.map(|(_, count)| count).sum()
    }

    /// Whether any fault was found.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.faults.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Faulty
        }
    }
}
