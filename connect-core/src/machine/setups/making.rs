// SPDX-License-Identifier: GPL-3.0-or-later
//! Makes and undoes the setup of a peer: which orders that needs, and what the script helper keeps
//! of it.

use std::sync::Arc;

use connect_ipc::scripts::{Ended, ScriptKind, ToScripts};
use connect_ipc::setup::{Made, Pair, Setup, SetupChange, SetupKey, SetupState};
use connect_ipc::{PeerId, RunId};
use connect_policy::changes::{after_ifup, for_ifdown};
use peerdb::Record;

use super::decision::{Now, decide};
use super::progress::Progress;
use super::remains::{Remains, pairs};
use crate::machine::Machine;
use crate::machine::peers::{Particulars, Peer};
use crate::machine::scripts::prepared::Prepared;
use crate::machine::server::{AfterAlgs, Pending};

/// Whether a record names a script of a pair.
pub(in crate::machine) fn names_script(record: &Record, pair: Pair) -> bool {
    let mut scripts = pair.scripts().into_iter();
    scripts.any(|script| record.get(script.name()).is_some())
}

/// Whether a record names the script that makes the setup of a pair.
pub(super) fn has_maker(record: Option<&Record>, pair: Pair) -> bool {
    let [maker, _] = pair.scripts();
    record.is_some_and(|record| record.get(maker.name()).is_some())
}

/// The progress of a pair's setup for a peer that was just added.
pub(super) fn at_first(record: Option<&Record>, pair: Pair) -> Progress {
    if has_maker(record, pair) {
        Progress::Due
    } else if record.is_some_and(|record| names_script(record, pair)) {
        // `ifdown' without `ifup' is run for a peer that goes.
        Progress::Made
    } else {
        Progress::NoScript
    }
}

impl Machine {
    /// Whether a peer with this record has a script of a pair.
    pub(super) fn has_script(&self, record: &Record, pair: Pair) -> bool {
        match pair {
            Pair::Interface | Pair::Connection => names_script(record, pair),
            Pair::Hooks => self.config.hooks.has_any(record),
        }
    }

    /// Makes the setups of a peer for these pairs (the manual, "Configuring interfaces" and
    /// "Dynamic connection").
    pub(in crate::machine) fn make(&mut self, id: PeerId, pairs: &[Pair]) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        // A record that was removed only undoes what was made with it.
        let record = peer.record.as_ref().filter(|_| !peer.record_removed);
        let has_record = record.is_some();
        let names = |pair| pairs.contains(&pair) && record.is_some_and(|it| names_script(it, pair));
        let (interface, connection) = (names(Pair::Interface), names(Pair::Connection));
        let progress = pairs.iter().map(|pair| (*pair, at_first(record, *pair)));
        for (pair, progress) in progress.collect::<Vec<_>>() {
            peer.setups.set(pair, progress);
        }
        self.scripts.failures.peer_added(peer.name());
        let (name, particulars) = (peer.name().to_owned(), peer.particulars);
        if !has_record {
            self.server.questions.add(id);
        } else if interface {
            self.ask_address(id);
            let pending = Pending::Algs {
                peer: id,
                then: AfterAlgs::Configure { connection },
                pairs: Vec::new(),
            };
            self.command_on_peer(pending, "ALGS", &name);
        } else {
            if particulars == Particulars::Unknown {
                self.ask_address(id);
            }
            if connection {
                self.make_connection(id);
            }
        }
    }

    /// Makes a peer's interface: its `ifup`, if its record has one.
    pub(in crate::machine) fn make_interface(&mut self, id: PeerId) {
        if let Some(prepared) = self.prepare_ifup(id) {
            self.order_setup(prepared);
        }
    }

    /// Makes a peer's connection again, as soon as it is decided what becomes of the one that it
    /// has: a command that is ordered before would be unknown to that decision.
    /// A command that is ordered before an `ifup` that is due would not wait for that.
    pub(in crate::machine) fn connect_when_decided(&mut self, id: PeerId, name: &str) {
        // Until the helper has the order, only the saved state knows that it was given.
        self.peers.note_change();
        if self.is_undecided(name) || self.is_ifup_due(id) {
            let by = self.scripts.next_run();
            self.scripts.recovery.awaited.insert(name.to_owned(), by);
        } else {
            self.make_connection(id);
        }
    }

    /// Whether a peer's `ifup` will be ordered as soon as the server has answered a question.
    pub(in crate::machine) fn is_ifup_due(&self, id: PeerId) -> bool {
        let peer = self.peers.get(id);
        peer.is_some_and(|peer| peer.setups.get(Pair::Interface) == Progress::Due)
    }

    /// What a peer's `ifup` needs to know is known: orders that, and its `connect` command, if
    /// `connection` or somebody has asked for it meanwhile.
    pub(in crate::machine) fn make_known(&mut self, id: PeerId, connection: bool) {
        self.make_interface(id);
        self.note_no_ifup(id);
        let name = self.peers.get(id).map(Peer::name);
        let awaited = name.and_then(|name| self.scripts.recovery.awaited.remove(name));
        if connection || awaited.is_some() {
            self.make_connection(id);
        }
    }

    /// An `ifup` that is still due is not ordered any more: the record has lost it meanwhile, or
    /// the server does not say which interface or address the peer has.
    fn note_no_ifup(&mut self, id: PeerId) {
        if self.is_ifup_due(id)
            && let Some(peer) = self.peers.get_mut(id)
        {
            let progress = match at_first(peer.record.as_ref(), Pair::Interface) {
                Progress::Due => Progress::NeverStarted,
                progress => progress,
            };
            peer.setups.set(Pair::Interface, progress);
        }
    }

    /// Makes a peer's connection: its `connect` command, if its record has one. If an earlier one
    /// is still under way, it has not succeeded, and is to end. The new order comes first: if core
    /// is killed in between, nothing is lost.
    pub(in crate::machine) fn make_connection(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(record) = peer.record.clone() else {
            return;
        };
        let name = peer.name().to_owned();
        let earlier = self.mark_connects(&name);
        self.drop_unsent_connect(&name);
        let setup = self.made(id, Pair::Connection);
        let kind = ScriptKind::Connect;
        self.order_setup(Prepared {
            setup,
            ..Prepared::shell(&name, kind, record)
        });
        self.tell_stops(earlier);
    }

    /// The record of a peer with which its setups are undone: the present one if there is one,
    /// otherwise the last one, so that a peer whose record was removed is still taken down.
    fn record_to_undo(&self, name: &str, remains: &Remains) -> Option<Record> {
        let current = self.database.current.peer(name);
        current.or(remains.record.as_ref()).cloned()
    }

    /// Orders a script that changes a setup, or, if there is none, tells the script helper to keep
    /// the change.
    pub(super) fn order_setup(&mut self, prepared: Prepared) {
        if !matches!(prepared.script, Ok(None)) {
            return self.order(prepared, None);
        }
        let pair = prepared.kind.pair();
        let Some(state) = prepared.setup else { return };
        if self.has_script(&prepared.record, pair) || matches!(state, SetupState::Undone {}) {
            self.note_setup(&prepared.peer, pair, state);
        }
    }

    /// The setup of a peer as it is made now; `None` if the peer is gone.
    pub(in crate::machine) fn made(&self, id: PeerId, pair: Pair) -> Option<SetupState> {
        let peer = self.peers.get(id)?;
        let record = match (pair, &peer.superseded, &peer.record) {
            (Pair::Interface, Some(in_use), Some(record)) => Some(after_ifup(in_use, record)),
            _ => peer.record_in_use().cloned(),
        };
        let run = self.scripts.next_run();
        let known = peer.setups.get(pair);
        let is_made = match known {
            Progress::Made | Progress::Found => true,
            // Without an `on-up` the peer has been up all the same.
            Progress::NoScript => pair == Pair::Hooks,
            _ => false,
        };
        let progress = if is_made {
            known
        } else {
            Progress::Ordered {
                first: run,
                last: run,
            }
        };
        Some(self.made_with(peer, record.as_ref(), progress))
    }

    /// The setup of a peer that was made with this record, or is to be made, as far as `progress`
    /// says.
    fn made_with(&self, peer: &Peer, record: Option<&Record>, progress: Progress) -> SetupState {
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        SetupState::Made(Arc::new(Made {
            server: self.server.listed_run(),
            interface: text(&peer.ifname),
            address: text(&peer.address),
            algorithms: peer.algorithms.as_deref().unwrap_or_default().to_vec(),
            record: record.map_or_else(Vec::new, pairs),
            runs: match progress {
                Progress::Ordered { last, .. } => vec![last],
                _ => Vec::new(),
            },
            never_started: progress == Progress::NeverStarted,
        }))
    }

    /// The server has said that a peer has another interface or address. What the script helper
    /// keeps of it and core does not know yet is followed when that is decided about.
    pub(in crate::machine) fn follow_move(&mut self, name: &str) {
        if !self.scripts.recovery.may_keep(name) {
            self.peer_moved(name, &Pair::ALL);
        }
    }

    /// The server has renamed a peer's interface, or noted another address: what is kept of its
    /// setups follows, so that the next core does not take it for another peer. `keeps` are the
    /// pairs whose setups stay: one that is about to be made is not noted before it is ordered,
    /// since core may be killed in between.
    pub(super) fn peer_moved(&mut self, name: &str, keeps: &[Pair]) {
        let Some(id) = self.peers.find(name) else {
            return;
        };
        for &pair in keeps {
            let Some(peer) = self.peers.get(id) else {
                return;
            };
            let record = peer.record.as_ref();
            let is_kept = record.is_some_and(|it| self.has_script(it, pair));
            let progress = peer.setups.get(pair);
            let is_told = matches!(
                progress,
                Progress::Made | Progress::Ordered { .. } | Progress::NeverStarted
            );
            if !is_kept || !is_told {
                continue;
            }
            let made = self.made_with(peer, peer.record_in_use(), progress);
            if let Progress::Ordered { last, .. } = progress
                && let Some(order) = self.scripts.unsent_order(last)
            {
                // A note would tell the helper of a run that it may never get.
                order.setup = Some(made);
            } else {
                self.note_setup(name, pair, made);
            }
        }
    }

    /// Tells the script helper to keep a change for which there is no script.
    pub(super) fn note_setup(&mut self, name: &str, pair: Pair, state: SetupState) {
        if matches!(state, SetupState::Undone {}) {
            // First, so that this note replaces the one before them.
            self.drop_unsent_makers(name, pair);
        }
        let orders = self.scripts.untaken_of(name);
        let orders = orders.filter(|run| run.kind.pair() == pair);
        let last_order = orders.map(|run| run.run).max();
        let number = self.scripts.number();
        let key = SetupKey {
            peer: name.to_owned(),
            pair,
        };
        let setup = Setup {
            key,
            state,
            number: None,
        };
        let change = SetupChange { number, setup };
        self.scripts.changes.add(change.clone(), last_order);
        self.tell_scripts(ToScripts::Setup(change));
    }

    /// As the script helper does with those that it has: what has not begun to make a setup that is
    /// undone never begins.
    fn drop_unsent_makers(&mut self, name: &str, pair: Pair) {
        for run in self.scripts.unsent_makers(name, pair) {
            self.script_ended(run, Ended::Stopped);
        }
    }

    /// Undoes what is left of the setups of a peer that the server does not have any more.
    pub(in crate::machine) fn undo_all(&mut self, name: &str, remains: &Remains) {
        // The interface last: until then hooks can use it, and `disconnect` tells the other end,
        // which may need some time.
        for pair in Pair::ALL.into_iter().rev() {
            self.undo_one(name, pair, remains);
        }
    }

    /// Undoes what is left of one setup, or has it noted that there is nothing to undo.
    pub(super) fn undo_one(&mut self, name: &str, pair: Pair, remains: &Remains) {
        let progress = remains.setups.get(pair);
        if decide(progress.past(), Now::Absent).undo {
            self.undo(name, pair, remains);
        } else if progress == Progress::NeverStarted {
            self.note_setup(name, pair, SetupState::Undone {});
        } else if self.scripts.certain(name, remains.setups).get(pair) == Progress::Made {
            // An `on-down` that was ordered when the peer was unreachable, and that the helper may
            // not have.
            let mut ordered = remains.clone();
            ordered.setups.set(pair, Progress::Made);
            self.scripts.note_undoing(name, pair, &ordered);
        }
    }

    /// Undoes what is left of a setup of a peer that is gone, or has become another one.
    pub(super) fn undo(&mut self, name: &str, pair: Pair, remains: &Remains) {
        // A command that an earlier core had ordered would delay what follows.
        let commands = match pair {
            Pair::Connection => self.mark_connects(name),
            Pair::Interface | Pair::Hooks => Vec::new(),
        };
        if let Some(record) = self.record_to_undo(name, remains) {
            if pair == Pair::Hooks {
                self.scripts.note_undoing(name, pair, remains);
                self.undo_hooks(name, record, remains);
            } else {
                self.order_undoing(name, pair, record, remains);
            }
        }
        self.tell_stops(commands);
        // If there was no script to order, nothing is left to do.
        self.scripts.settle_undoing(name);
    }

    /// Orders the script that undoes a setup, if there is anything to undo.
    fn order_undoing(&mut self, name: &str, pair: Pair, record: Record, remains: &Remains) {
        let progress = remains.setups.get(pair);
        let before = remains.in_use.as_deref().or(remains.record.as_ref());
        let was_kept = before.is_some_and(|it| self.has_script(it, pair));
        if !was_kept && !self.has_script(&record, pair) {
            // Both keys have gone since the setup was made, and the script helper keeps it.
            if matches!(progress, Progress::Made | Progress::Ordered { .. }) {
                self.note_setup(name, pair, SetupState::Undone {});
            }
            return;
        }
        if progress == Progress::NoScript && has_maker(Some(&record), pair) {
            // The record has got the script since, so it was never started.
            return;
        }
        let prepared = match pair {
            Pair::Connection => Prepared::shell(name, ScriptKind::Disconnect, record),
            // It takes down what `ifup` has set up, with the values that `ifup` had.
            Pair::Interface | Pair::Hooks => {
                let algorithms = remains.algorithms.as_deref().unwrap_or_default();
                let in_use = remains.in_use.as_ref();
                let record = in_use.map_or(record.clone(), |it| for_ifdown(it, &record));
                Prepared::ifdown(name, &record, algorithms)
            }
        };
        // A command that no helper was sent ends at once, and then there is nothing to undo.
        self.scripts.note_undoing(name, pair, remains);
        self.order_setup(Prepared {
            setup: Some(SetupState::Undone {}),
            undoes: self.unknown_makers(name, pair, progress),
            ..prepared
        });
    }

    /// The runs of which one may have made a setup, if it is not known that one has.
    pub(super) fn unknown_makers(&self, name: &str, pair: Pair, progress: Progress) -> Vec<RunId> {
        match progress {
            Progress::Ordered { first, last } => {
                let makers = self.scripts.pending_makers(name, pair, first..=last);
                makers.collect()
            }
            _ => Vec::new(),
        }
    }

    /// A run that makes a setup was ordered.
    pub(in crate::machine) fn setup_ordered(&mut self, name: &str, pair: Pair, run: RunId) {
        if let Some(peer) = self.peers.named_mut(name) {
            let progress = match peer.setups.get(pair) {
                // Others have made what was found.
                Progress::Made | Progress::Found => Progress::Made,
                Progress::Ordered { first, .. } => Progress::Ordered { first, last: run },
                _ => Progress::Ordered {
                    first: run,
                    last: run,
                },
            };
            peer.setups.set(pair, progress);
        }
    }

    /// A script could not be ordered.
    pub(in crate::machine) fn setup_not_ordered(&mut self, name: &str, pair: Pair) {
        if let Some(peer) = self.peers.named_mut(name)
            && peer.setups.get(pair) == Progress::Due
        {
            peer.setups.set(pair, Progress::NeverStarted);
        }
    }

    /// A script has started: if it makes a setup, that is made.
    pub(in crate::machine) fn setup_started(&mut self, name: &str, kind: ScriptKind, run: RunId) {
        self.follow_run(name, kind, run, Progress::Made);
    }

    /// A run has started or ended. If it makes a setup, that has this progress. If it was not
    /// started, another run of this setup may be, as long as that one has not ended.
    pub(in crate::machine) fn follow_run(
        &mut self,
        name: &str,
        kind: ScriptKind,
        run: RunId,
        progress: Progress,
    ) {
        let pair = kind.pair();
        let [maker, _] = pair.scripts();
        if kind != maker {
            return;
        }
        let recovery = &mut self.scripts.recovery;
        recovery.follow_told(name, pair, run, progress);
        let scripts = &self.scripts;
        let is_settled = |known: &Progress| match *known {
            Progress::Ordered { first, last } if (first..=last).contains(&run) => {
                progress == Progress::Made
                    || scripts
                        .pending_makers(name, pair, first..=last)
                        .all(|it| it == run)
            }
            _ => false,
        };
        let peer = self.peers.named_mut(name);
        let peer = peer.filter(|peer| is_settled(&peer.setups.get(pair)));
        let noted = scripts.recovery.progress(name, pair);
        let is_noted = noted.as_ref().is_some_and(is_settled);
        let undoing = scripts.recovery.undoing.get(name);
        let is_undoing = undoing.is_some_and(|it| is_settled(&it.remains.setups.get(pair)));
        let recovery = &mut self.scripts.recovery;
        if is_noted {
            recovery.set_progress(name, pair, progress);
        }
        if let Some(undoing) = recovery.undoing.get_mut(name).filter(|_| is_undoing) {
            undoing.remains.setups.set(pair, progress);
        }
        if let Some(peer) = peer {
            peer.setups.set(pair, progress);
        }
    }
}
