// SPDX-License-Identifier: GPL-3.0-or-later
//! Saves state for the next core, and resumes from what an earlier one has saved.

mod first_database;

use std::collections::HashMap;
use std::sync::Arc;

use connect_ipc::PeerId;
use connect_ipc::event::EventKind;
use connect_ipc::pinger::Remembered;
use connect_ipc::write_fault::WriteFault;
use connect_liveness::CatchUp;
use peerdb::Database;

use super::Machine;
use super::additions::revivals::SavedRevival;
use super::database::DatabaseCopy;
use super::inheritance::{AdoptionState, Inherited, PeerState, Restored, State};
use super::input::WriteNews;
use super::peers::Algorithms;
use super::server::Replaced;
use super::setups::making::names_script;
use super::setups::remains::pairs;
use connect_ipc::setup::{Pair, ServerRun};

impl Machine {
    /// The run of the server whose peers were listed last, if it is certain.
    #[must_use]
    pub const fn listed_run(&self) -> Option<ServerRun> {
        self.server.listed_run()
    }

    /// Whether core was told to end.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.server.leaving
    }

    /// The result of writing the state file or the log.
    pub(super) fn written(&mut self, news: WriteNews) {
        match news {
            WriteNews::StateFault { fault } => {
                let since = self.inheritance.fault.as_ref().map(|(since, _)| *since);
                let since = since.unwrap_or(self.now);
                self.inheritance.fault = Some((since, fault.clone()));
                self.emit(None, || EventKind::StateFault { fault });
            }
            WriteNews::StateSaved {} => {
                if let Some((since, _)) = self.inheritance.fault.take() {
                    let seconds = self.now.since(since).as_secs();
                    self.emit(None, || EventKind::StateSaved { seconds });
                }
            }
            WriteNews::LogLost { lines } => self.events.counters.log_lines_lost = lines,
        }
    }

    /// How many lines of core's own log are known to be lost.
    #[must_use]
    pub const fn log_lines_lost(&self) -> u64 {
        self.events.counters.0.log_lines_lost
    }

    /// What is wrong with the state file, for operators.
    pub(super) fn state_file(&self) -> Option<WriteFault> {
        let (since, fault) = self.inheritance.fault.as_ref()?;
        Some(WriteFault {
            fault: fault.clone(),
            seconds: self.now.since(*since).as_secs(),
        })
    }

    /// What the next core needs, and the run of the server that it is about, if that is certain.
    /// `None` if this core knows nothing yet.
    #[must_use]
    pub fn state(&self) -> Option<(Option<ServerRun>, State)> {
        if !self.server.joined_before() {
            return None;
        }
        let run = self.server.listed_run();
        let mut algorithms = Vec::new();
        let mut places: HashMap<*const (String, String), usize> = HashMap::new();
        let mut place = |list: &Algorithms| {
            *places.entry(list.as_ptr()).or_insert_with(|| {
                algorithms.push(list.to_vec());
                algorithms.len() - 1
            })
        };
        let waiting = self.inheritance.waiting.figures();
        let peers = self
            .peers
            .iter()
            .map(|(id, peer)| PeerState {
                name: peer.name().to_owned(),
                setups: self.saved_setups(peer),
                removed_record: peer
                    .record
                    .as_ref()
                    .filter(|_| peer.record_removed)
                    .map(pairs),
                since: self.since(peer),
                algorithms: peer.algorithms.as_ref().map(&mut place),
                adoption: match peer.adoption() {
                    Some(adoption) => Some(AdoptionState::of(adoption)),
                    None => waiting.get(&id).copied(),
                },
                connect_again: self.connect_again(peer),
            })
            .collect();
        let unfinished = self.unfinished(&mut place);
        let state = State {
            unfinished,
            next_run: Some(self.scripts.next_run()),
            boot: self.config.boot.clone(),
            started_up: self.inheritance.started_up(),
            starting: self.starting_left(),
            algorithms,
            peers,
            failed_scripts: self.scripts.failures.iter().cloned().collect(),
            departures: self
                .peers
                .departures
                .iter()
                .map(|(name, departure)| (name.into(), departure.clone()))
                .collect(),
            revivals: self
                .additions
                .revivals_left(&self.database.current)
                .into_iter()
                .chain(self.inheritance.waiting.revivals.iter().cloned())
                .collect(),
        };
        Some((run, state))
    }

    /// The database for the next core. `None` as long as none was read from the file: then the copy
    /// of an earlier core stays.
    #[must_use]
    pub fn database(&self) -> Option<&Arc<Database>> {
        self.database.read_from_file()
    }

    /// A number that grows whenever something changes that must not be lost even in a crash: which
    /// peers there are.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.peers.changes()
    }

    /// Whether the script helper has said what it knows of the scripts of earlier cores, and it is
    /// decided what is to be run for each peer.
    #[must_use]
    pub fn has_decided_scripts(&self) -> bool {
        let recovery = &self.scripts.recovery;
        recovery.is_known() && recovery.undecided() == 0
    }

    /// How many peers with scripts have come or gone while the script helper was not there, so that
    /// nothing was requested for them.
    #[must_use]
    pub fn scripts_unrequested(&self) -> usize {
        let has_scripts = |name: &&str| {
            let record = self.database.current.peer(name);
            let names = |pair| record.is_some_and(|record| names_script(record, pair));
            Pair::OF_PRESENCE.into_iter().any(names)
        };
        let unrequested = self.scripts.recovery.unrequested();
        unrequested.filter(has_scripts).count()
    }

    /// How many scripts core leaves under way or waiting, as far as it knows.
    #[must_use]
    pub fn scripts_left(&self) -> u64 {
        self.scripts.pending()
    }

    /// Puts the peers of an earlier core into the table, if it has saved any. This comes before the
    /// server's notifications, so that a peer that is added now does not count as the one of the
    /// state.
    pub(super) fn restore_table(&mut self) {
        let Some(Inherited {
            run: Some(run),
            state,
            database,
        }) = self.inheritance.take()
        else {
            return;
        };
        let kept = database.as_ref().map(|DatabaseCopy(kept)| Arc::clone(kept));
        let is_inherited = self.database.inherit(database);
        if is_inherited {
            let peers = self.database.current.sorted_peers().len();
            tracing::warn!(
                peers,
                "using the database that the last core used, until the file can be read"
            );
        }
        let next_run = state.next_run;
        self.restore_unfinished(state.unfinished, &state.algorithms);
        for run in state.failed_scripts {
            self.scripts.failures.remember(run);
        }
        for (name, departure) in state.departures {
            self.peers.departures.note(&name, departure);
        }
        if self.database.fault.is_none() || is_inherited {
            self.peers.departures.keep_expected(&self.database.current);
        }
        if self.database.is_there() {
            self.restore_revivals(state.revivals);
            self.decide_departures();
        } else {
            self.inheritance.waiting.revivals = state.revivals;
        }
        self.inheritance.waiting.starting = state.starting;
        let mut adopted = Vec::new();
        for saved in state.peers {
            if self.peers.find(&saved.name).is_some() {
                // This core has seen that it was added, when it was not yet certain which server
                // this is.
                self.restore_replaced(&saved, &state.algorithms, kept.as_deref());
                continue;
            }
            let id = self.restore_peer(&saved, &state.algorithms, kept.as_deref());
            adopted.extend(saved.adoption.map(|adoption| (id, adoption)));
        }
        self.inheritance.keep(Restored {
            run,
            next_run,
            adopted,
            remembered: Vec::new(),
        });
    }

    /// Puts a peer of an earlier core into the table. `lists` are the algorithms of its state.
    fn restore_peer(
        &mut self,
        saved: &PeerState,
        lists: &[Vec<(String, String)>],
        kept: Option<&Database>,
    ) -> PeerId {
        let (record, is_removed) = self.record_inherited(saved, kept);
        let algorithms = self.saved_algorithms(saved.algorithms, lists);
        if let Some(since) = saved.since {
            self.scripts.recovery.expected(&saved.name, since);
        }
        if let Some(by) = saved.connect_again {
            let awaited = &mut self.scripts.recovery.awaited;
            awaited.insert(saved.name.clone(), by);
        }
        let id = self.peers.insert(&saved.name, record, self.now);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.setups = saved.setups.into();
            peer.record_removed = is_removed;
            peer.algorithms = algorithms;
            peer.outcome.told = saved.adoption.map(|it| it.told()).unwrap_or_default();
        }
        id
    }

    /// Continues to add the peers that the last core was about to add again.
    pub(super) fn restore_revivals(&mut self, left: Vec<SavedRevival>) {
        let database = &self.database.current;
        let names: Vec<Box<str>> = left.iter().map(|it| it.name.clone()).collect();
        self.additions.revivals.restore(left, database, self.now);
        for name in names.iter().filter(|it| self.peers.find(it).is_some()) {
            self.additions.revivals.added(name);
        }
    }

    /// Remembers those of the restored peers that the server still has, so that they are adopted
    /// with their figures.
    pub(super) fn remember_restored(&mut self, restored: &mut Restored) {
        // Checks that became due while there was no core are spread, as when a server is connected
        // again.
        let mut catch_up = CatchUp::new(self.now);
        for (id, adoption) in &restored.adopted {
            let Some(peer) = self.peers.get(*id) else {
                continue;
            };
            let name = peer.name().to_owned();
            // A pinger that was connected to that core, and is connected before the server, has
            // later figures.
            if self.pinger.remembered.contains_key(&name) {
                continue;
            }
            let mut phase = adoption.phase;
            catch_up.apply(&mut phase);
            let known = Remembered {
                name: name.clone(),
                phase,
                statistics: adoption.statistics,
            };
            restored.remembered.push(name.clone());
            self.pinger.remembered.insert(name, known);
            self.pinger.from_state.insert(*id);
        }
        if self.pinger.helper.ready().is_some() {
            // It has said everything that it knew.
            self.pinger.from_state.clear();
        }
    }

    /// What was known of these peers was about earlier ones: their figures begin with zero.
    pub(super) fn forget_replaced(&mut self, replaced: &Replaced, restored: Option<&mut Restored>) {
        let remembered = &mut self.pinger.remembered;
        remembered.retain(|name, _| !replaced.contains(name));
        let waiting = self.inheritance.waiting.restored.as_mut();
        for restored in restored.into_iter().chain(waiting) {
            let peers = &self.peers;
            restored.adopted.retain(|(id, _)| {
                let peer = peers.get(*id);
                peer.is_some_and(|peer| !replaced.contains(peer.name()))
            });
        }
        let adopted = self.peers.adopted().into_iter();
        let old = adopted.filter(|(_, peer)| replaced.contains(peer.name()));
        for id in old.map(|(id, _)| id).collect::<Vec<_>>() {
            self.disown(id);
        }
    }

    /// Of those of these peers that were replaced, no pinger knows anything.
    pub(super) fn note_replaced(&mut self, adopted: &[PeerId], replaced: &Replaced) {
        for id in adopted {
            let peer = self.peers.get_mut(*id);
            if let Some(peer) = peer.filter(|peer| replaced.contains(peer.name())) {
                peer.outcome.is_new = true;
            }
        }
    }

    /// Gives peers that are adopted now back what the pinger does not have.
    pub(super) fn restore_adoptions(&mut self, mut restored: Restored) {
        for (id, saved) in &restored.adopted {
            if let Some(adoption) = self.peers.adoption_mut(*id) {
                adoption.history = saved.history;
            }
        }
        // The rest belongs to peers that are gone, or not watched any more.
        for name in restored.remembered.drain(..) {
            self.pinger.remembered.remove(&name);
        }
        if !self.database.is_there() {
            self.inheritance.waiting.restored = Some(restored);
        }
    }
}
