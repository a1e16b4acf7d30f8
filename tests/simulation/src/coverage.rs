// SPDX-License-Identifier: GPL-3.0-or-later
//! How often each kind of fault was planned, was done, and had an effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of the faults of one kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Count {
    /// How many stood in a plan.
    pub planned: u64,
    /// How many were carried out.
    pub done: u64,
    /// How many met something that they changed: a kill a process with work left, a cut bytes on
    /// their way, a cancellation a job that was open.
    pub effective: u64,
}

impl Count {
    /// Adds what became of others.
    pub const fn add(&mut self, other: Count) {
        self.planned += other.planned;
        self.done += other.done;
        self.effective += other.effective;
    }
}

/// What became of all faults, by [`Fault::name`](crate::plan::Fault::name), and how often a fault
/// came while something was in progress, by "fault while ...".
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Coverage(pub BTreeMap<String, Count>);

impl Coverage {
    /// The count of this name.
    pub fn of(&mut self, name: &str) -> &mut Count {
        self.0.entry(name.to_owned()).or_default()
    }

    /// Adds what became of the faults of another run.
    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.0 {
            self.of(name).add(*count);
        }
    }
}
