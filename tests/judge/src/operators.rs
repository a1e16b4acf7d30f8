// SPDX-License-Identifier: GPL-3.0-or-later
//! The runs that operators have asked for: causes of their own, which belong to no pair.

use crate::history::{Asked, PeerHistory, ScriptRun};

/// Takes the runs of operators out of those of a lane. Gives the requests that are left: nobody
/// knows whether they led to a run.
pub(crate) fn take_out<'a>(history: &'a PeerHistory, runs: &mut Vec<&ScriptRun>) -> Vec<&'a Asked> {
    let mut unanswered = Vec::new();
    for asked in &history.asked {
        let Some((pid, _)) = asked.started else {
            unanswered.push(asked);
            continue;
        };
        // The number of a process may be used again later. The script writes its start after the
        // operator has heard of it.
        let found = runs
            .iter()
            .position(|run| run.kind == asked.kind && run.pid == pid && asked.at <= run.start);
        if let Some(index) = found {
            runs.remove(index);
        }
    }
    unanswered
}
