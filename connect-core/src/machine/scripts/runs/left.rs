// SPDX-License-Identifier: GPL-3.0-or-later
//! The `connect` commands that core took for lost and that live all the same: they hold the place
//! of their peer in the script helper, so they are ended when another command follows.

use std::collections::BTreeMap;

use connect_ipc::RunId;

/// Those commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    by_peer: BTreeMap<String, Vec<RunId>>,
    peers: BTreeMap<RunId, String>,
}

impl Left {
    pub(super) fn add(&mut self, peer: String, run: RunId) {
        self.by_peer.entry(peer.clone()).or_default().push(run);
        self.peers.insert(run, peer);
    }

    /// The commands of a peer, which are to be ended.
    pub(super) fn take(&mut self, peer: &str) -> Vec<RunId> {
        let runs = self.by_peer.remove(peer).unwrap_or_default();
        for run in &runs {
            self.peers.remove(run);
        }
        runs
    }

    /// Those of a peer that `last` follows.
    pub(super) fn take_before(&mut self, peer: &str, last: RunId) -> Vec<RunId> {
        let (before, after) = self.take(peer).into_iter().partition(|run| *run < last);
        let after: Vec<RunId> = after;
        for run in after {
            self.add(peer.to_owned(), run);
        }
        before
    }

    /// A command has ended.
    pub(super) fn remove(&mut self, run: RunId) {
        let Some(peer) = self.peers.remove(&run) else {
            return;
        };
        if let Some(runs) = self.by_peer.get_mut(&peer) {
            runs.retain(|other| *other != run);
            if runs.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }
}
