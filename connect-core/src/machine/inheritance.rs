// SPDX-License-Identifier: GPL-3.0-or-later
//! What core saves for the next core, so that a restart or an upgrade loses nothing and does
//! nothing twice: which peers the server had, which were configured, and their figures.
//!
//! It is valid only for the run of the server for which it was saved; the reader checks that. As
//! soon as the service is claimed, the peers of the state are put into the table, since from then
//! on the server sends notifications about peers. The list of the server is then treated as after a
//! lost connection: peers that stayed are left as they are, those that are gone are taken down, new
//! ones are configured.

use std::collections::HashMap;

use connect_ipc::clock::{BootId, Monotonic};
use connect_ipc::pinger::PingPhase;
use connect_ipc::scripts::EndedRun;
use connect_ipc::statistics::PingStatistics;
use connect_ipc::{PeerId, RunId};
use peerdb::Database;
use serde::{Deserialize, Serialize};

use super::additions::revivals::SavedRevival;
use super::database::DatabaseCopy;
use super::departures::Departure;
use super::peers::{Adoption, History, UpDown};
use super::setups::progress::PeerSetups;
use connect_ipc::setup::ServerRun;

/// Everything that is saved.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// The boot in which it was taken. The server of another boot has ended, though its socket may
    /// look the same.
    pub(super) boot: Option<BootId>,
    /// Whether the work of `--startup` was done.
    pub(super) started_up: bool,
    /// The peers whose addition for `--startup` was under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) starting: Vec<Box<str>>,
    /// Distinct answers to `ALGS`; most peers share one.
    pub(super) algorithms: Vec<Vec<(String, String)>>,
    /// All peers.
    pub(super) peers: Vec<PeerState>,
    /// The scripts that failed when they were last run.
    #[serde(default)]
    pub(super) failed_scripts: Vec<EndedRun>,
    /// The peers that were removed and are not back.
    #[serde(default)]
    pub(super) departures: Vec<(Box<str>, Departure)>,
    /// Those of them that are to be added again, or were added again and have not answered since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) revivals: Vec<SavedRevival>,
    /// Peers that are gone, with setups that are to be undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unfinished: Vec<SavedRemains>,
    /// Runs with this number or a later one were ordered after the state was taken: what earlier
    /// ones have made for a peer that is not in the state was made for one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_run: Option<RunId>,
}

/// One peer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PeerState {
    pub(super) name: String,
    /// How far it was set up, if not as most peers are.
    #[serde(
        default = "PeerSetups::usual",
        skip_serializing_if = "PeerSetups::are_usual"
    )]
    pub(super) setups: PeerSetups,
    /// The keys and values of its record, if that was removed from the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_record: Option<Vec<(String, String)>>,
    /// If nothing is certain to have been ordered for the peer: runs with this number or a later
    /// one are for it. What earlier ones have made was made for an earlier peer of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<RunId>,
    /// Which of the state's algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) algorithms: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) adoption: Option<AdoptionState>,
    /// Its `connect` command is to be run again as soon as it is decided what becomes of the
    /// earlier ones, unless a run with this number or a later one was ordered for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) connect_again: Option<RunId>,
}

/// A peer that is gone, and what was made for it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SavedRemains {
    pub(super) name: String,
    pub(super) setups: PeerSetups,
    /// The keys and values of its record, if it was known: it may be removed from the database
    /// before the next core starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Vec<(String, String)>>,
    /// Which of the state's algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) algorithms: Option<usize>,
    /// Runs with this number or a later one were ordered after it had gone.
    pub(super) gone_by: RunId,
}

/// The figures of an adopted peer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AdoptionState {
    pub(super) phase: PingPhase,
    pub(super) statistics: PingStatistics,
    #[serde(flatten)]
    pub(super) history: History,
}

impl AdoptionState {
    pub(super) fn of(adoption: &Adoption) -> Self {
        AdoptionState {
            phase: *adoption.liveness.phase(),
            statistics: *adoption.liveness.statistics(),
            history: adoption.history,
        }
    }

    /// What was told of the peer.
    pub(super) const fn told(&self) -> UpDown {
        UpDown::by_figures(&self.phase, &self.statistics, self.history.changed)
    }
}

impl State {
    /// Whether it was taken in the boot `this`. Where the system never says which boot it is, the
    /// run of the server must do, whose socket has been made at another time.
    fn is_of(&self, this: Option<&BootId>) -> bool {
        self.boot.as_ref() == this
    }

    /// How many peers it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether it has peers without a record in this database: what is needed to take them down may
    /// be in the database that the earlier core has saved.
    #[must_use]
    pub fn has_peers_without_record(&self, database: &Database) -> bool {
        let is_removed = |peer: &PeerState| database.peer(&peer.name).is_none();
        self.peers.iter().any(is_removed)
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

/// What an earlier core has saved.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inherited {
    /// The run of the server that it is about. If the earlier core could not tell, nothing follows
    /// from the state, but it replaces one from before, which is wrong by now.
    pub run: Option<ServerRun>,
    /// The state.
    pub state: State,
    /// The database that it used, if it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseCopy>,
}

/// What an earlier core has saved, and what `--startup` has done.
#[derive(Clone, Debug, Default)]
pub(super) struct Inheritance {
    /// The state and the run of the server that it is about, until a server was joined.
    left: Option<Inherited>,
    /// Whether it is about the server that is being joined.
    applies: bool,
    /// What waits until the peers are listed, once the state was taken.
    restored: Option<Restored>,
    /// Whether the work of `--startup` was done for this server, by this core or an earlier one.
    started_up: bool,
    /// What waits for the first database.
    pub(super) waiting: Waiting,
    /// Why nothing can be saved for the next core, and since when.
    pub(super) fault: Option<(Monotonic, String)>,
}

impl Inheritance {
    /// An earlier core has saved this about a run of the server.
    pub(super) fn offer(&mut self, left: Inherited) {
        self.left = Some(left);
    }

    /// A server was connected. Until one was joined, each new server may be the one that the state
    /// is about.
    pub(super) fn server_connected(
        &mut self,
        run: Option<ServerRun>,
        joined_before: bool,
        boot: Option<&BootId>,
    ) {
        if joined_before {
            self.left = None;
        }
        self.applies = false;
        if let Some(left) = &self.left {
            self.applies = run.is_some() && run == left.run && left.state.is_of(boot);
            if self.applies {
                tracing::info!(
                    peers = left.state.len(),
                    "resuming from the state of the last core"
                );
            } else {
                tracing::info!(
                    "ignoring the state of the last core: it is about another server or another boot"
                );
            }
        }
    }

    /// The server was lost, before or after its peers were listed.
    pub(super) fn server_lost(&mut self) {
        self.applies = false;
    }

    pub(super) const fn started_up(&self) -> bool {
        self.started_up
    }

    pub(super) fn set_started_up(&mut self) {
        self.started_up = true;
    }

    /// Another server was joined, which has just started.
    pub(super) fn new_server(&mut self) {
        self.started_up = false;
    }

    /// What was saved, if it is about the server that is being joined.
    pub(super) fn take(&mut self) -> Option<Inherited> {
        let applies = std::mem::take(&mut self.applies);
        let left = self.left.take_if(|_| applies)?;
        self.started_up = left.state.started_up;
        Some(left)
    }

    /// The table has the peers of the state; this is kept until they are listed, even if the server
    /// is lost before.
    pub(super) fn keep(&mut self, restored: Restored) {
        self.restored = Some(restored);
    }

    /// What was kept: the peers are listed.
    pub(super) fn take_restored(&mut self) -> Option<Restored> {
        self.restored.take()
    }
}

/// What peers get back when they are adopted.
#[derive(Clone, Debug)]
pub(super) struct Restored {
    /// The run of the server whose peers they were.
    pub(super) run: ServerRun,
    /// The state's next run.
    pub(super) next_run: Option<RunId>,
    pub(super) adopted: Vec<(PeerId, AdoptionState)>,
    /// Peers that the pinger is told of when they are adopted.
    pub(super) remembered: Vec<String>,
}

/// What waits for the first database, in a core that has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// The figures that an earlier core has left of peers that the server has.
    pub(super) restored: Option<Restored>,
    /// The peers that an earlier core was about to add again.
    pub(super) revivals: Vec<SavedRevival>,
    /// Whether the work of `--startup` is to be done.
    pub(super) start_up: bool,
    /// The peers whose addition for `--startup` an earlier core has not finished.
    pub(super) starting: Vec<Box<str>>,
}

impl Waiting {
    /// The server has a peer.
    pub(super) fn peer_added(&mut self, name: &str) {
        self.revivals
            .retain_mut(|revival| *revival.name != *name || revival.note_added());
    }

    /// A peer was removed, for a reason after which it is added `again` or not.
    pub(super) fn peer_removed(&mut self, name: &str, again: bool, now: Monotonic) {
        self.revivals.retain_mut(|revival| {
            let is_it = *revival.name == *name;
            if is_it && again {
                revival.note_gone(now);
            }
            again || !is_it
        });
    }

    /// The figures by peer, for the next core.
    pub(super) fn figures(&self) -> HashMap<PeerId, AdoptionState> {
        let adopted = self.restored.iter().flat_map(|restored| &restored.adopted);
        adopted.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(run: Option<ServerRun>, state: State) -> Inherited {
        Inherited {
            run,
            state,
            database: None,
        }
    }

    /// What is left out of the file when it is empty must be in it too, or its name could change
    /// unseen. A new field does not compile until it is listed here, and then needs a value there.
    #[test]
    fn the_released_form_has_each_field() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../fixtures/core.json")).unwrap();
        let State {
            boot,
            started_up,
            starting,
            algorithms,
            peers,
            failed_scripts,
            departures,
            revivals,
            unfinished,
            next_run,
        } = serde_json::from_value(file["state"].clone()).unwrap();
        assert!(boot.is_some() && started_up && next_run.is_some());
        assert!(!starting.is_empty() && !algorithms.is_empty() && !failed_scripts.is_empty());
        assert!(!revivals.is_empty());
        let mut has = [[false; 5]; 3];
        for peer in peers {
            let PeerState {
                name: _,
                setups,
                removed_record,
                since,
                algorithms,
                adoption,
                connect_again,
            } = peer;
            has[0][0] |= removed_record.is_some() && !setups.are_usual();
            has[0][1] |= since.is_some();
            has[0][2] |= algorithms.is_some();
            has[0][3] |= adoption.is_some();
            has[0][4] |= connect_again.is_some();
        }
        for remains in unfinished {
            let SavedRemains {
                name: _,
                setups: _,
                record,
                algorithms,
                gone_by: _,
            } = remains;
            has[1] = [record.is_some(), algorithms.is_some(), true, true, true];
        }
        for (_, departure) in departures {
            let Departure {
                at: _,
                removal: _,
                address,
                has_answered,
                undecided,
            } = departure;
            has[2][0] |= address.is_some();
            has[2][1] |= has_answered;
            has[2][2] |= undecided;
            has[2][3..].fill(true);
        }
        assert_eq!(has, [[true; 5]; 3]);
    }

    #[test]
    fn state_counts_only_for_the_run_and_the_boot_that_it_was_written_in() {
        let run = |inode: u64| -> ServerRun {
            let text = format!("{{\"device\":1,\"inode\":{inode},\"made\":[0,0]}}");
            serde_json::from_str(&text).unwrap()
        };
        let [this, another] = ["this", "another"].map(|name| Some(BootId(name.to_owned())));
        let of = |boot: &Option<BootId>, about_run, met: Option<ServerRun>, joined_before| {
            let mut inheritance = Inheritance::default();
            let state = State {
                boot: boot.clone(),
                ..State::default()
            };
            inheritance.offer(about(about_run, state));
            inheritance.server_connected(met, joined_before, this.as_ref());
            inheritance.take().is_some()
        };
        let taken = |boot: &_, met, joined_before| of(boot, Some(run(1)), met, joined_before);
        assert!(taken(&this, Some(run(1)), false));
        assert!(!taken(&this, Some(run(2)), false), "another run");
        assert!(!taken(&this, None, false), "nobody knows which run");
        let unknown = of(&this, None, None, false) || of(&this, None, Some(run(1)), false);
        assert!(!unknown, "the earlier core did not know which run");
        assert!(!taken(&another, Some(run(1)), false), "another boot");
        assert!(!taken(&None, Some(run(1)), false), "of an unknown boot");
        assert!(!taken(&this, Some(run(1)), true), "core knows better");
        assert!(State::default().is_of(None), "the system never says it");
    }

    #[test]
    fn state_waits_for_its_server_while_others_are_met() {
        let run: ServerRun =
            serde_json::from_str("{\"device\":1,\"inode\":1,\"made\":[0,0]}").unwrap();
        let mut inheritance = Inheritance::default();
        let boot = Some(BootId("this".to_owned()));
        let state = State {
            boot: boot.clone(),
            ..State::default()
        };
        inheritance.offer(about(Some(run), state));
        inheritance.server_connected(None, false, boot.as_ref());
        assert!(inheritance.take().is_none());
        inheritance.server_connected(Some(run), false, boot.as_ref());
        inheritance.server_lost();
        assert!(inheritance.take().is_none());
        inheritance.server_connected(Some(run), false, boot.as_ref());
        assert!(inheritance.take().is_some());
        assert!(inheritance.take().is_none());
    }
}
