// SPDX-License-Identifier: GPL-3.0-or-later
//! What is promised of scripts.

use std::collections::{BTreeMap, BTreeSet};

use connect_ifscripts::ledger::Entry;
use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, ScriptKind};

use crate::world::World;

impl World {
    /// What is broken in this state.
    ///
    /// # Errors
    /// The promise.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut last: Option<RunId> = None;
        for ran in &self.ran {
            if !seen.insert(ran.run) {
                return Err(format!("run {} was started twice", ran.run.0));
            }
            if ran.beside > 0 {
                return Err(format!("run {} was started beside another", ran.run.0));
            }
            if last.is_some_and(|last| ran.run < last) {
                return Err(format!("run {} was started after a later one", ran.run.0));
            }
            last = Some(ran.run);
        }
        let mut up = false;
        for (run, kind) in self.counted() {
            if (kind == ScriptKind::Ifup) == up {
                return Err(format!("run {} is {} once more", run.0, kind.name()));
            }
            up = !up;
        }
        Ok(())
    }

    /// What is broken in this state, in which nothing more will happen by itself.
    ///
    /// # Errors
    /// The promise.
    pub fn check_at_rest(&self) -> Result<(), String> {
        let last = self.counted().last().map(|(_, kind)| *kind);
        if (last == Some(ScriptKind::Ifup)) != self.server.is_present {
            return Err(format!(
                "the peer is {}, and the last script was {}",
                if self.server.is_present {
                    "there"
                } else {
                    "gone"
                },
                last.map_or("none", ScriptKind::name)
            ));
        }
        Ok(())
    }

    /// The runs that were started, and those that may have been: nobody can tell of a run whose
    /// helper died when it was about to start it, so that it counts as started.
    fn counted(&self) -> Vec<(RunId, ScriptKind)> {
        let ran = self.ran.iter().map(|ran| (ran.run, ran.kind));
        let lost = self.journal.iter().filter_map(|entry| match entry {
            Entry::Ended {
                run,
                end: Ended::Lost,
            } => Some(*run),
            _ => None,
        });
        let kind = |run: RunId| {
            self.journal.iter().find_map(|entry| match entry {
                Entry::Ordered(order) if order.run == run => Some((run, order.kind)),
                _ => None,
            })
        };
        let counted: BTreeMap<RunId, ScriptKind> = ran.chain(lost.filter_map(kind)).collect();
        counted.into_iter().collect()
    }

    /// What has happened, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let entries = self.journal.iter().map(|entry| format!("{entry:?}"));
        let journal: Vec<String> = entries.collect();
        format!("ran: {:?}\njournal:\n  {}", self.ran, journal.join("\n  "))
    }
}
