// SPDX-License-Identifier: GPL-3.0-or-later
//! What is promised of scripts.

use std::collections::BTreeSet;

use connect_ipc::RunId;
use connect_ipc::scripts::ScriptKind;

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
        for ran in &self.ran {
            let is_up = ran.kind == ScriptKind::Ifup;
            // A run that is lost may have been the one between.
            if is_up == up && self.lost_unstarted() == 0 {
                return Err(format!("{} twice in a row", ran.kind.name()));
            }
            up = is_up;
        }
        Ok(())
    }

    /// What is broken in this state, in which nothing more will happen by itself.
    ///
    /// # Errors
    /// The promise.
    pub fn check_at_rest(&self) -> Result<(), String> {
        let last = self.ran.last().map(|ran| ran.kind);
        let up = last == Some(ScriptKind::Ifup);
        if up != self.server.is_present && self.lost_unstarted() == 0 {
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

    /// How many runs are told to be lost that never ran.
    fn lost_unstarted(&self) -> usize {
        let ran = |run: &&RunId| self.ran.iter().any(|ran| ran.run == **run);
        self.lost.iter().filter(|run| !ran(run)).count()
    }
}
