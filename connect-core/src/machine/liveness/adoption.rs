// SPDX-License-Identifier: GPL-3.0-or-later
//! Adoption: which peers are checked and when the first check is due; tells the pinger about them.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::event::EventKind;
use connect_ipc::pinger::{PingPlan, ToPinger, Watched};
use connect_liveness::Liveness;
use connect_policy::Expected;
use connect_policy::pinging::{PingKind, is_watched, ping_plan};
use peerdb::Record;

use super::WatchAs;
use crate::machine::Machine;
use crate::machine::peers::{Adoption, History, UpDown};

/// The first pings of this many peers, or more, are spread over a whole interval; those of fewer
/// are spread over a part in proportion, so that a few are checked almost at once.
const FULL_SPREAD: u32 = 100;

/// How the peer of a record is pinged. Faults of the record are logged.
pub(in crate::machine) fn plan_of(record: &Record, fallback: PingKind) -> (PingPlan, PingKind) {
    let (plan, kind, faults) = ping_plan(record, fallback);
    for error in faults {
        let instead = match error.expected {
            Expected::LongerInterval(_) => "using the shortest time in place of the record's value",
            _ => "using a default in place of the record's value",
        };
        tracing::warn!(peer = record.name(), %error, "{instead}");
    }
    (plan, kind)
}

impl Machine {
    /// Whether a peer is to be adopted (the manual, "Adoption").
    fn eligible(&self, id: PeerId) -> bool {
        self.peers
            .get(id)
            .filter(|peer| !peer.record_removed)
            .and_then(|peer| peer.record.as_ref())
            .is_some_and(is_watched)
    }

    /// Adopts a peer that has just been added, if it is eligible: the first ping is due after one
    /// interval, since a peer that was just added has no keys yet.
    pub(in crate::machine) fn adopt_added(&mut self, id: PeerId) {
        self.forget_remembered(id);
        if self.eligible(id) {
            let now = self.now;
            self.adopt(id, |plan| now + Duration::from_secs(u64::from(plan.every)));
            self.watch(&[id], WatchAs::New);
        }
    }

    /// Forgets what a pinger remembers of this name, or will: it is about an earlier peer, or about
    /// checks that have ended.
    fn forget_remembered(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.outcome.is_new = true;
            self.pinger.remembered.remove(peer.name());
        }
    }

    /// Adopts the eligible peers among those that the server already had. Their first pings are
    /// spread out, so that thousands of peers are not pinged in one instant.
    pub(in crate::machine) fn adopt_many(&mut self, ids: &[PeerId]) {
        let eligible: Vec<PeerId> = ids
            .iter()
            .copied()
            .filter(|id| self.eligible(*id))
            .collect();
        let count = u32::try_from(eligible.len()).unwrap_or(u32::MAX);
        let now = self.now;
        for (index, id) in (0u32..).zip(&eligible) {
            self.adopt(*id, |plan| {
                let whole = Duration::from_secs(u64::from(plan.every));
                let spread = whole * count.min(FULL_SPREAD) / FULL_SPREAD;
                now + spread.mul_f64(f64::from(index) / f64::from(count.max(1)))
            });
        }
        // Not one by one: the messages are freed soon, and would leave holes in the memory between
        // what stays of each peer.
        self.watch(&eligible, WatchAs::New);
    }

    /// Adopts a peer, of which the pinger is not told yet.
    fn adopt(&mut self, id: PeerId, due: impl FnOnce(&PingPlan) -> Monotonic) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(record) = &peer.record else { return };
        let (plan, kind) = plan_of(record, self.config.ping);
        // A pinger that was already connected to an earlier core has the figures of the peer.
        let remembered = self.pinger.remembered.remove(peer.name());
        let is_known = remembered.is_some();
        let liveness = match remembered {
            Some(known) => Liveness::carried_on(plan, known.phase, known.statistics, self.now),
            None => Liveness::starting(plan, due(&plan)),
        };
        let name = peer.name().to_owned();
        let adoption = Adoption {
            liveness,
            kind,
            ping: None,
            noted: None,
            voids: 0,
            moved: false,
            unsent: false,
            untold: None,
            history: History {
                since: self.now,
                ..History::default()
            },
        };
        let liveness = &adoption.liveness;
        // Since this core has adopted it, it has not changed.
        let told = UpDown::by_figures(liveness.phase(), liveness.statistics(), None);
        self.peers.adopt(id, adoption);
        if is_known && let Some(peer) = self.peers.get_mut(id) {
            // An earlier core has told it.
            peer.outcome.told = told;
        }
        tracing::debug!(peer = name, "adopted");
        self.emit(Some(&name), || EventKind::Adopted {});
        self.note_owed(id);
    }

    /// Notes what is due for a peer whose next check may be earlier than before.
    pub(in crate::machine) fn note_owed(&mut self, id: PeerId) {
        if let Some(adoption) = self.peers.adoption_mut(id) {
            self.pinger.owed.note(id, adoption);
        }
    }

    /// Stops pinging a peer that stays with the server.
    pub(in crate::machine) fn disown(&mut self, id: PeerId) {
        if let Some(adoption) = self.peers.disown(id)
            && let Some(peer) = self.peers.get(id)
        {
            // If the peer is adopted again soon, its next ping must be the only one in flight.
            if let Some(ping) = adoption.ping {
                self.server.session.cancel(ping.tag);
            }
            let name = peer.name().to_owned();
            tracing::debug!(peer = name, "disowned");
            self.emit(Some(&name), || EventKind::Disowned {});
            self.fail_asked(id, &["peer-not-adopted", &name]);
            self.tell_pinger(ToPinger::Forget(vec![id]));
            self.forget_remembered(id);
            self.peers.renumber(id);
        }
    }

    /// Tells the pinger about peers.
    pub(in crate::machine) fn watch(&mut self, ids: &[PeerId], how: WatchAs) {
        if self.pinger.helper.ready().is_none() {
            return;
        }
        let watched = ids.iter().filter_map(|id| {
            let peer = self.peers.get(*id)?;
            let adoption = peer.adoption()?;
            Some(Watched {
                peer: *id,
                name: peer.name().to_owned(),
                plan: *adoption.liveness.plan(),
                phase: (how == WatchAs::New).then_some(*adoption.liveness.phase()),
                statistics: *adoption.liveness.statistics(),
            })
        });
        for watched in watched {
            self.pinger.outbox.watch(watched, self.now);
        }
    }
}
