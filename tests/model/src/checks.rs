// SPDX-License-Identifier: GPL-3.0-or-later
//! What is promised of scripts.

use std::collections::BTreeMap;

use connect_ifscripts::ledger::Entry;
use connect_ipc::RunId;
use connect_ipc::scripts::{Ended, ScriptKind};
use connect_ipc::setup::Pair;
use judge::starts::Started;

use crate::world::World;

impl World {
    /// What is broken in this state.
    ///
    /// # Errors
    /// The promise.
    pub fn check(&self) -> Result<(), String> {
        let mut started = Started::default();
        for start in &self.ran {
            started.take(start)?;
        }
        for pair in self.limits.scope.pairs() {
            let [maker, _] = pair.scripts();
            let mut is_made = false;
            for (run, kind) in self.paired(pair) {
                if (kind == maker) == is_made {
                    return Err(format!("run {} is {} once more", run.0, kind.name()));
                }
                is_made = !is_made;
            }
        }
        Ok(())
    }

    /// What is broken in this state, in which nothing more will happen by itself.
    ///
    /// # Errors
    /// The promise.
    pub fn check_at_rest(&self) -> Result<(), String> {
        self.check_last()?;
        if self.limits.scope.pings() {
            // What could not be told when the peer changed is told by the next check.
            let mut later = self.clone();
            later.check_once_more();
            later.check()?;
            later.check_last()?;
            later.check_hooks()?;
        }
        let mut requested = self.requested.iter();
        if let Some(run) = requested.find(|run| self.is_owed(**run)) {
            return Err(format!("run {} of an operator is lost", run.0));
        }
        Ok(())
    }

    /// Whether the last script of each pair agrees with the server.
    fn check_last(&self) -> Result<(), String> {
        let is_present = self.server.is_present;
        for pair in self.limits.scope.pairs() {
            let [maker, _] = pair.scripts();
            let last = self.paired(pair).last().map(|(_, kind)| *kind);
            let is_made = last == Some(maker);
            // A peer that is there need not answer.
            if is_made != is_present && (is_made || pair != Pair::Hooks) {
                return Err(format!(
                    "the peer is {}, and the last script of the pair {pair:?} was {}",
                    if is_present { "there" } else { "gone" },
                    last.map_or("none", ScriptKind::name)
                ));
            }
        }
        Ok(())
    }

    /// Whether the last hook agrees with the check that was made just now.
    fn check_hooks(&self) -> Result<(), String> {
        let is_up = self.server.is_present && self.answers;
        let last = self.paired(Pair::Hooks).last().map(|(_, kind)| *kind);
        if (last == Some(ScriptKind::OnUp)) == is_up {
            return Ok(());
        }
        let last = last.map_or("none", ScriptKind::name);
        Err(format!(
            "the peer is up: {is_up}, and its last hook was {last}"
        ))
    }

    /// The runs of a pair that were started, and those that may have been: nobody can tell of a run
    /// whose helper died when it was about to start it, so that it counts as started. Those of
    /// operators are no part of any pair.
    fn paired(&self, pair: Pair) -> Vec<(RunId, ScriptKind)> {
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
        let paired = counted.into_iter().filter(|(run, kind)| {
            let is_paired = !self.requested.contains(run);
            is_paired && kind.pair() == pair
        });
        paired.collect()
    }

    /// Whether a run that is in the journal has neither ended nor been started.
    fn is_owed(&self, run: RunId) -> bool {
        let of_run = |entry: &&Entry| match entry {
            Entry::Ordered(order) => order.run == run,
            Entry::Ended { run: ended, .. } => *ended == run,
            _ => false,
        };
        // Only its order, and no end.
        self.journal.iter().filter(of_run).count() == 1
    }

    /// What has happened, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let entries = self.journal.iter().map(|entry| format!("{entry:?}"));
        let journal: Vec<String> = entries.collect();
        format!("ran: {:?}\njournal:\n  {}", self.ran, journal.join("\n  "))
    }
}
