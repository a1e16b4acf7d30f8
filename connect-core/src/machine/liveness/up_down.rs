// SPDX-License-Identifier: GPL-3.0-or-later
//! A peer comes up or goes down: the events `up` and `down`, which take turns for each peer.
//!
//! ```text
//!   down --a reply: up--> up --unreachable, or gone: down--> down
//! ```
//!
//! They say when a hook is due, whether or not there is one, and whether or not it can be run yet.

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::event::{DownReason, EventKind, UpReason};
use connect_ipc::setup::Pair;

use crate::machine::Machine;
use crate::machine::peers::UpDown;
use crate::machine::setups::progress::Progress;

impl Machine {
    /// A peer has replied. `failed_checks` is the number of checks in a row that had failed before
    /// this reply. `changed` is the instant when, before this reply, the peer last began or stopped
    /// to answer; `None` if it has not since this core adopted it.
    pub(in crate::machine) fn note_reply(
        &mut self,
        id: PeerId,
        failed_checks: u32,
        changed: Option<Monotonic>,
    ) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let hooks = peer.setups.get(Pair::Hooks);
        let reason = match peer.outcome.told {
            UpDown::Up(reason) => reason,
            UpDown::Unreachable => self.came_up(id, UpReason::Recovered),
            UpDown::Nothing => self.came_up(id, UpReason::FirstReply),
        };
        if hooks == Progress::Idle {
            self.run_on_up(id, reason, failed_checks, changed);
        }
    }

    fn came_up(&mut self, id: PeerId, reason: UpReason) -> UpReason {
        let Some(peer) = self.peers.get_mut(id) else {
            return reason;
        };
        peer.outcome.told = UpDown::Up(reason);
        let name = peer.name().to_owned();
        tracing::info!(peer = name, reason = reason.as_str(), "{name} is up");
        // If it is added again later, that is another series of attempts.
        self.additions.attempts.end(&name);
        self.emit(Some(&name), || EventKind::Up { reason });
        reason
    }

    /// No attempt of a peer's check was answered: reports that the peer is down, if it was up.
    pub(super) fn went_down(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id)
            && peer.outcome.told.is_up()
        {
            peer.outcome.told = UpDown::Unreachable;
            let name = peer.name().to_owned();
            tracing::warn!(peer = name, "{name} is down: it does not answer");
            self.tell_down(&name, DownReason::Unreachable);
        }
    }

    /// A peer that was up is not up any more.
    pub(in crate::machine) fn tell_down(&mut self, name: &str, reason: DownReason) {
        self.emit(Some(name), || EventKind::Down { reason });
    }
}
