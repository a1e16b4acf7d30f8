// SPDX-License-Identifier: GPL-3.0-or-later
//! What is due for each adopted peer, so that core notices what does not come: an order of the
//! pinger when a check is due, an answer of the server when a ping has ended.
//!
//! ```text
//!   adopted --> [orders] --found in flight--> [answers] --found answered--> [orders]
//! ```
//!
//! Core makes no entry when a ping is ordered or answered. There is one entry for each adopted
//! peer, under the first second that begins after an order or an answer is due. Core looks at the
//! entry five seconds (`GRACE`) after that second begins. Usually the order or answer has come by
//! then, and core moves the entry to the second of the next one. So core knows what has been
//! overdue for longest without going through all peers. Whole seconds are exact enough, and cost
//! less than sorting all entries.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;

use crate::machine::limits::GRACE;
use crate::machine::peers::{Adoption, PeerTable};
use crate::machine::second::Second;

/// How many entries that do not count any more are kept before they are removed.
const STALE: usize = 1_024;

/// What is due for a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::machine) enum Debt {
    /// The pinger's order of the next ping.
    Order,
    /// The sending of a ping that was ordered, by core itself.
    Sending,
    /// The server's answer to a ping that was sent.
    Answer,
}

impl Adoption {
    /// What comes next, and when it is due.
    pub(in crate::machine) fn owed(&self) -> (Debt, Monotonic) {
        let phase = self.liveness.phase();
        match (&self.ping, phase.in_flight) {
            (_, None) => (Debt::Order, phase.due),
            (None, Some(_)) => (Debt::Sending, phase.due),
            (Some(ping), Some(_)) => (Debt::Answer, ping.sent + self.timeout()),
        }
    }

    /// For how long it has been overdue at `now`, from the instant when it was due.
    pub(in crate::machine) fn overdue(&self, now: Monotonic) -> Option<Duration> {
        let (_, due) = self.owed();
        (due + GRACE <= now).then(|| now.since(due))
    }

    /// How long to wait for a reply.
    pub(in crate::machine) fn timeout(&self) -> Duration {
        Duration::from_secs(self.liveness.plan().timeout.into())
    }
}

type Entries = BTreeMap<Second, Vec<PeerId>>;

/// One entry for each adopted peer. An entry counts only if the peer has noted its second.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct Owed {
    /// Peers that waited for the pinger when they were last looked at.
    orders: Entries,
    /// Peers that waited for the server.
    answers: Entries,
    /// How many entries there are, valid or not.
    len: usize,
}

impl Owed {
    /// Notes what is due for a peer that was just adopted, or whose check is now due earlier.
    pub(in crate::machine) fn note(&mut self, id: PeerId, adoption: &mut Adoption) {
        let second = Second::after(adoption.owed().1);
        if adoption.noted.is_none_or(|noted| second < noted) {
            adoption.noted = Some(second);
            self.orders.entry(second).or_default().push(id);
            self.len += 1;
        }
    }

    /// When [`Owed::settle`] has something to look at next.
    pub(in crate::machine) fn deadline(&self) -> Option<Monotonic> {
        let first = |entries: &Entries| entries.first_key_value().map(|(second, _)| *second);
        let firsts = [first(&self.orders), first(&self.answers)];
        firsts.into_iter().flatten().min().map(Second::overdue)
    }

    /// Looks at every entry whose time has come. Returns the peer whose order has been overdue for
    /// longest, and the peer whose answer has. Both are exact to one second.
    pub(in crate::machine) fn settle(
        &mut self,
        peers: &mut PeerTable,
        now: Monotonic,
    ) -> [Option<PeerId>; 2] {
        if self.len > 2 * peers.len() + STALE {
            self.forget_stale(peers);
        }
        // Answers first: a peer that has its answer may then lack an order.
        let answer = self.settle_half(true, peers, now);
        [self.settle_half(false, peers, now), answer]
    }

    fn settle_half(
        &mut self,
        answers: bool,
        peers: &mut PeerTable,
        now: Monotonic,
    ) -> Option<PeerId> {
        while let Some(mut first) = self.half(answers).first_entry()
            && first.key().overdue() <= now
        {
            let noted = *first.key();
            let Some(id) = first.get_mut().pop() else {
                first.remove();
                continue;
            };
            let adoption = peers.adoption_mut(id);
            let Some(adoption) = adoption.filter(|adoption| adoption.noted == Some(noted)) else {
                // The peer was removed or disowned, or has another entry since.
                self.len -= 1;
                continue;
            };
            let (debt, due) = adoption.owed();
            let is_answer = debt == Debt::Answer;
            // An answer can come long before the timeout, and the next order can be due soon after
            // it. So core looks again after the next second, and not only after the timeout.
            let second = Second::after(if is_answer { due.min(now) } else { due });
            if second <= noted && is_answer == answers {
                first.get_mut().push(id);
                return Some(id);
            }
            adoption.noted = Some(second);
            self.half(is_answer).entry(second).or_default().push(id);
        }
        None
    }

    const fn half(&mut self, answers: bool) -> &mut Entries {
        if answers {
            &mut self.answers
        } else {
            &mut self.orders
        }
    }

    fn forget_stale(&mut self, peers: &PeerTable) {
        self.len = 0;
        for entries in [&mut self.orders, &mut self.answers] {
            for (second, ids) in entries {
                ids.retain(|id| {
                    let adoption = peers.get(*id).and_then(|peer| peer.adoption());
                    adoption.is_some_and(|adoption| adoption.noted == Some(*second))
                });
                self.len += ids.len();
            }
        }
    }
}
