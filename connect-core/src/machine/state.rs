// SPDX-License-Identifier: GPL-3.0-or-later
//! What one core leaves for the next, so that a restart or an upgrade loses nothing and does
//! nothing twice: which peers were there and configured, and how they fared.
//!
//! It counts only against the very server it was written down for; who reads it has checked that.
//! Peers of the state are put into the table as if this core had known them, and then the server's
//! list is treated as after an interruption: what stayed is left alone, what is gone is brought
//! down, what is new is configured.

use std::collections::HashMap;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::{PingPhase, Remembered};
use connect_ipc::statistics::PingStatistics;
use connect_liveness::CatchUp;
use serde::{Deserialize, Serialize};

use super::Machine;
use super::peers::Adoption;

/// All that is left.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// When it was taken. The clock begins anew with each boot, and so must this.
    saved: Monotonic,
    /// Whether what `--startup` stands for was done.
    started_up: bool,
    /// Distinct answers to `ALGS`; most peers share one.
    algorithms: Vec<Vec<(String, String)>>,
    /// All peers.
    peers: Vec<PeerState>,
}

/// One peer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct PeerState {
    name: String,
    configured: bool,
    /// Which of the state's algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithms: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adoption: Option<AdoptionState>,
}

/// How an adopted peer fared.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct AdoptionState {
    phase: PingPhase,
    statistics: PingStatistics,
    since: Monotonic,
    changed: Option<Monotonic>,
    reconnects: u32,
    last_reconnect: Option<Monotonic>,
}

impl AdoptionState {
    fn of(adoption: &Adoption) -> Self {
        AdoptionState {
            phase: *adoption.liveness.phase(),
            statistics: *adoption.liveness.statistics(),
            since: adoption.since,
            changed: adoption.changed,
            reconnects: adoption.reconnects,
            last_reconnect: adoption.last_reconnect,
        }
    }
}

impl State {
    /// Whether it may be of this boot: instants of another mean nothing.
    #[must_use]
    pub fn is_of_this_boot(&self, now: Monotonic) -> bool {
        self.saved <= now
    }

    /// How many peers it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

/// What is to be given back to peers once they are adopted.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    adopted: Vec<(PeerId, AdoptionState)>,
    /// Peers that were put down to be remembered when they are adopted.
    remembered: Vec<String>,
}

impl Machine {
    /// What the next core has to know. `None` if this one knows nothing yet.
    #[must_use]
    pub fn state(&self, now: Monotonic) -> Option<State> {
        if !self.joined_before {
            return None;
        }
        let mut algorithms = Vec::new();
        let mut places: HashMap<*const (String, String), usize> = HashMap::new();
        let mut place = |list: &super::peers::Algorithms| {
            *places.entry(list.as_ptr()).or_insert_with(|| {
                algorithms.push(list.to_vec());
                algorithms.len() - 1
            })
        };
        let peers = self
            .peers
            .iter()
            .map(|(_, peer)| PeerState {
                name: peer.name().to_owned(),
                configured: peer.configured,
                algorithms: peer.algorithms.as_ref().map(&mut place),
                adoption: peer.adoption.as_deref().map(AdoptionState::of),
            })
            .collect();
        Some(State {
            saved: now,
            started_up: self.started_up,
            algorithms,
            peers,
        })
    }

    /// A number that grows whenever the state changes in what must not be lost even by a crash:
    /// which peers there are.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.peers.changes()
    }

    /// Takes what an earlier core has left. It must be of the server that is about to be joined, and is
    /// forgotten if that is lost before it has listed its peers.
    pub fn inherits(&mut self, state: State) {
        self.inherited = Some(state);
    }

    /// Makes the peers of an earlier core ours, if there was one.
    pub(super) fn inherit(&mut self) -> Option<Inheritance> {
        let state = self.inherited.take()?;
        self.started_up = state.started_up;
        let mut inheritance = Inheritance::default();
        // What fell due while there was no core is spread, as when a server comes back.
        let mut catch_up = CatchUp::new(self.now);
        for saved in state.peers {
            let record = self.database.current.peer(&saved.name).cloned();
            let algorithms = saved
                .algorithms
                .and_then(|place| state.algorithms.get(place))
                .map(|list| self.share_algorithms(list.clone()));
            let id = self.peers.insert(&saved.name, record, self.now);
            if let Some(peer) = self.peers.get_mut(id) {
                peer.configured = saved.configured;
                peer.algorithms = algorithms;
            }
            let Some(adoption) = saved.adoption else {
                continue;
            };
            inheritance.adopted.push((id, adoption));
            // A pinger that has outlived that core, and has come before the server, knows better.
            if self.remembered.contains_key(&saved.name) {
                continue;
            }
            let mut phase = adoption.phase;
            catch_up.apply(&mut phase);
            let known = Remembered {
                name: saved.name.clone(),
                phase,
                statistics: adoption.statistics,
            };
            inheritance.remembered.push(saved.name.clone());
            self.remembered.insert(saved.name, known);
            self.from_state.insert(id);
        }
        if self.pinger.ready {
            // It has told all it knew.
            self.from_state.clear();
        }
        Some(inheritance)
    }

    /// Gives back what is no business of the pinger, now that the peers are adopted.
    pub(super) fn restore(&mut self, inheritance: Inheritance) {
        for (id, saved) in inheritance.adopted {
            if let Some(adoption) = self.peers.adoption_mut(id) {
                adoption.since = saved.since;
                adoption.changed = saved.changed;
                adoption.reconnects = saved.reconnects;
                adoption.last_reconnect = saved.last_reconnect;
            }
        }
        // What was not taken is of peers that are gone, or not watched any more.
        for name in inheritance.remembered {
            self.remembered.remove(&name);
        }
    }
}
