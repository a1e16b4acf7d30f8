// SPDX-License-Identifier: GPL-3.0-or-later
//! How often each kind of fault was planned, was done, and had an effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What happened to the faults of one kind.
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
    /// Adds what happened to others.
    pub const fn add(&mut self, other: Count) {
        self.planned += other.planned;
        self.done += other.done;
        self.effective += other.effective;
    }
}

/// What happened to all faults, by [`Fault::name`](crate::plan::Fault::name), and how often a fault
/// came while something was in progress, by "fault while ...".
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Coverage(pub BTreeMap<String, Count>);

impl Coverage {
    /// The count of this name.
    pub fn of(&mut self, name: &str) -> &mut Count {
        self.0.entry(name.to_owned()).or_default()
    }

    /// A fault of a kind, and of one of its ways if there are several, had an effect so often.
    pub fn took_effect(&mut self, name: &str, detail: Option<&str>, times: u64) {
        for name in [Some(name), detail].into_iter().flatten() {
            self.of(name).effective += times;
        }
    }

    /// Adds what happened to the faults of another run.
    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.0 {
            self.of(name).add(*count);
        }
    }

    /// The faults that were planned and never had an effect, and those of this list that were not
    /// even planned: the storm does not reach them.
    #[must_use]
    pub fn without_effect<'a>(&'a self, expected: &[&'a str]) -> BTreeSet<&'a str> {
        let planned = self.0.iter().filter(|(_, count)| count.planned > 0);
        let planned = planned.map(|(name, _)| name.as_str());
        let has_effect = |name: &str| self.0.get(name).is_some_and(|it| it.effective > 0);
        let all = planned.chain(expected.iter().copied());
        all.filter(|name| !has_effect(name)).collect()
    }

    /// A line for each name; empty if there is none.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        if self.0.is_empty() {
            return text;
        }
        let _ = writeln!(
            text,
            "{:<48} {:>10} {:>10} {:>10}",
            "fault", "planned", "done", "effective"
        );
        for (name, count) in &self.0 {
            let (planned, done, effective) = (count.planned, count.done, count.effective);
            let _ = writeln!(text, "{name:<48} {planned:>10} {done:>10} {effective:>10}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_what_has_no_effect_is_named() {
        let mut one = Coverage::default();
        one.of("quit").planned = 2;
        one.of("reboot").effective = 1;
        one.of("quit while joining").done = 1;
        let mut all = one.clone();
        all.add(&one);
        assert_eq!(all.of("quit").planned, 4);
        assert_eq!(all.of("reboot").effective, 2);
        assert_eq!(all.without_effect(&[]), ["quit"].into());
        let expected = ["reboot", "upgrade"];
        assert_eq!(all.without_effect(&expected), ["quit", "upgrade"].into());
        let table = all.table();
        assert_eq!(table.lines().count(), 4);
        assert!(table.lines().all(|line| line.len() == 81), "{table}");
        assert_eq!(Coverage::default().table(), "");
    }
}
