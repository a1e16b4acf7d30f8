// SPDX-License-Identifier: GPL-3.0-or-later
//! Hooks: `on-up` runs when a peer comes up, and `on-down` when it goes down.
//!
//! ```text
//!            a reply, and there are hooks: on-up
//!   Idle ------------------------------------------> Ordered, Made
//!    ^ |  a reply, and there are none                     |
//!    | '---------------------------> NoScript             | unreachable, or gone: on-down
//!    '----------------------------------'-----------------'
//! ```
//!
//! `on-up` makes a setup: the service has reported the peer as connected. `on-down` undoes it. So
//! this setup is in the journal of runs, and survives core and the script helper, as that of `ifup`
//! does. Any reply of the peer makes the setup if it is not made yet. So if nothing can be ordered
//! at that moment, nothing is noted: the next reply makes it.

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::event::{DownReason, Removal, UpReason};
use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::{Pair, SetupState};
use connect_ipc::statistics::LastPing;
use connect_policy::hooks::{Occasion, Reason};
use peerdb::Record;

use super::progress::Progress;
use super::remains::Remains;
use crate::machine::Machine;
use crate::machine::peers::Peer;
use crate::machine::scripts::prepared::Prepared;

impl Machine {
    /// Orders a peer's `on-up`, unless something must come before it that cannot be ordered yet.
    /// `failed_checks` is the number of checks in a row that had failed before this reply.
    /// `changed` is the instant when, before this reply, the peer last began or stopped to answer;
    /// `None` if it has not since this core adopted it.
    pub(in crate::machine) fn run_on_up(
        &mut self,
        id: PeerId,
        reason: UpReason,
        failed_checks: u32,
        changed: Option<Monotonic>,
    ) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(record) = peer.record.clone() else {
            return;
        };
        if !self.config.hooks.has_any(&record) {
            return self.set_hooks(id, Progress::NoScript);
        }
        // Without a helper each change of the peer would leave two more orders.
        let no_helper = self.scripts.helper.ready().is_none();
        if no_helper || self.is_ifup_due(id) || self.is_undecided(peer.name()) {
            return;
        }
        let occasion = self.arrival_of(peer, reason, failed_checks, changed);
        let (name, algorithms) = (peer.name().to_owned(), peer.algorithms.clone());
        let algorithms = algorithms.unwrap_or_default();
        // Where there is only `on-down', nothing is to be waited for.
        let has_script = self.config.hooks.has(&record, ScriptKind::OnUp);
        self.set_hooks(
            id,
            if has_script {
                Progress::Due
            } else {
                Progress::Made
            },
        );
        let (kind, defaults) = (ScriptKind::OnUp, &self.config.hooks);
        let told = (&*algorithms, &occasion);
        let prepared = Prepared::hook(&name, kind, record, defaults, told);
        let setup = self.made(id, Pair::Hooks);
        self.order_setup(Prepared { setup, ..prepared });
    }

    /// No attempt of a peer's check was answered. Orders its `on-down`, unless its hooks are
    /// `Idle`: then the peer has not replied since it was added or since it last became
    /// unreachable.
    pub(in crate::machine) fn note_unreachable(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let progress = peer.setups.get(Pair::Hooks);
        if progress == Progress::Idle {
            return;
        }
        // What is not known yet is known by the next check, or by the time that the peer is gone.
        let record = peer.record.as_ref();
        let is_told =
            progress != Progress::NoScript || record.is_some_and(|it| self.has_on_down(it));
        if is_told && self.is_undecided(peer.name()) {
            return;
        }
        let (name, mut remains) = (peer.name().to_owned(), Remains::of(peer));
        remains.occasion = Some(self.occasion(peer, Reason::Down(DownReason::Unreachable)));
        // The peer stays, so its state says what the next core must do.
        match (progress, peer.record.clone()) {
            (Progress::NeverStarted, _) => {
                self.note_setup(&name, Pair::Hooks, SetupState::Undone {});
            }
            (_, Some(record)) => self.undo_hooks(&name, record, &remains),
            (_, None) => {}
        }
        self.set_hooks(id, Progress::Idle);
    }

    /// Orders the `on-down` of a peer that the service has reported as connected.
    pub(super) fn undo_hooks(&mut self, name: &str, record: Record, remains: &Remains) {
        let progress = remains.setups.get(Pair::Hooks);
        // The peer has replied while there was no hook. If it has got `on-down` since, this is
        // run, since an `on-up` would have been due at that reply.
        if progress == Progress::NoScript && !self.has_on_down(&record) {
            return;
        }
        let undoes = self.unknown_makers(name, Pair::Hooks, progress);
        let occasion = remains.occasion.clone();
        let occasion = occasion.unwrap_or_else(|| self.unseen(remains));
        let algorithms = remains.algorithms.as_deref().unwrap_or_default();
        let (kind, defaults) = (ScriptKind::OnDown, &self.config.hooks);
        let prepared = Prepared::hook(name, kind, record, defaults, (algorithms, &occasion));
        self.order_setup(Prepared {
            setup: Some(SetupState::Undone {}),
            undoes,
            ..prepared
        });
    }

    /// The `on-down` of this peer was ordered, or its `on-up` was never ordered or never started.
    /// Sets the progress of its hooks to `Idle`, so that the peer's next reply makes the setup
    /// again: the state file of an earlier core may have had an older progress.
    pub(super) fn hooks_undone(&mut self, id: Option<PeerId>) {
        if let Some(id) = id {
            self.set_hooks(id, Progress::Idle);
        }
    }

    fn has_on_down(&self, record: &Record) -> bool {
        self.config.hooks.has(record, ScriptKind::OnDown)
    }

    fn set_hooks(&mut self, id: PeerId, progress: Progress) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.setups.set(Pair::Hooks, progress);
        }
    }

    /// What the wall clock showed at an instant, in seconds since 1970.
    fn seconds(&self, at: Monotonic) -> u64 {
        self.events.wall_clock(at) / 1_000
    }

    /// What has happened to a peer, as far as its checks show it.
    fn occasion(&self, peer: &Peer, reason: Reason) -> Occasion {
        let adoption = peer.adoption();
        let phase = adoption.map(|adoption| adoption.liveness.phase());
        let is_silent = phase.is_some_and(|it| it.failed_checks > 0 || it.failures > 0);
        let changed = adoption.and_then(|adoption| adoption.history.changed);
        Occasion {
            reason,
            time: self.seconds(self.now),
            since: Some(self.seconds(changed.filter(|_| is_silent).unwrap_or(self.now))),
            rounds: phase.map_or(0, |phase| phase.failed_checks),
            address: text(peer.address.as_deref()),
            interface: text(peer.ifname.as_deref()),
            rtt: adoption.and_then(|adoption| adoption.liveness.statistics().mean()),
        }
    }

    /// A peer has come up. `rounds` is the number of checks in a row that had failed before.
    fn arrival_of(
        &self,
        peer: &Peer,
        reason: UpReason,
        rounds: u32,
        changed: Option<Monotonic>,
    ) -> Occasion {
        let adoption = peer.adoption();
        let statistics = adoption.map(|adoption| adoption.liveness.statistics());
        let is_first = statistics.is_some_and(|statistics| statistics.replies <= 1);
        let adopted = adoption.map(|adoption| adoption.history.since);
        let was_silent = rounds > 0 || is_first;
        let since = changed.filter(|_| rounds > 0).or(adopted);
        Occasion {
            since: since.filter(|_| was_silent).map(|it| self.seconds(it)),
            rounds,
            rtt: statistics.and_then(|statistics| match statistics.last {
                LastPing::Reply(millis) => Some(millis),
                LastPing::None | LastPing::Timeout => None,
            }),
            ..self.occasion(peer, Reason::Up(reason))
        }
    }

    /// A peer was removed.
    pub(super) fn departure_of(&self, peer: &Peer, removal: Removal) -> Occasion {
        self.occasion(peer, Reason::Down(removal.into()))
    }

    /// A peer is gone, or another one by now, and that was not seen.
    pub(super) fn unseen(&self, remains: &Remains) -> Occasion {
        Occasion {
            reason: Reason::Down(DownReason::Unseen),
            time: self.seconds(self.now),
            since: None,
            rounds: 0,
            address: text(remains.address.as_deref()),
            interface: text(remains.ifname.as_deref()),
            rtt: None,
        }
    }
}

/// What is known; empty if it is not.
fn text(known: Option<&str>) -> String {
    known.unwrap_or_default().to_owned()
}
