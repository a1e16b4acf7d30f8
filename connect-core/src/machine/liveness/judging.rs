// SPDX-License-Identifier: GPL-3.0-or-later
//! Results of pings: what each means for its peer, and what core does about it.

use connect_ipc::PeerId;
use connect_ipc::clock::{Monotonic, millis};
use connect_ipc::event::{EventKind, EventName};
use connect_ipc::pinger::{EndedPing, PingResult};
use connect_liveness::{EarlyCheck, Judgement, Meaning};
use connect_policy::pinging::is_dynamic;
use tripe_admin::Failure;

use crate::machine::Machine;
use crate::machine::server::Pending;

impl Machine {
    /// Evaluates a result, passes it to the pinger, and acts on its meaning.
    pub(in crate::machine) fn ping_result(&mut self, id: PeerId, seq: u32, result: PingResult) {
        let now = self.now;
        let judged = self.peers.judge(id, |liveness| {
            let before = *liveness.phase();
            let judgement = liveness.result(id, seq, result, now)?;
            Some((judgement, before))
        });
        let Some((adoption, Some((judgement, before)))) = judged else {
            return;
        };
        adoption.ping = None;
        if let PingResult::Reply(_) = result {
            adoption.voids = 0;
        }
        if judgement.meaning != Meaning::Void {
            adoption.unsent = judgement.meaning == Meaning::NotSent;
        }
        let due = adoption.liveness.phase().due;
        let changed = match judgement.meaning {
            Meaning::Recovered { .. } => true,
            // The first attempt that failed, also if it could not be sent.
            Meaning::Missed { .. } | Meaning::NotSent => {
                before.failures == 0 && before.failed_checks == 0
            }
            Meaning::Expected | Meaning::Void => false,
        };
        let silent_since = adoption.history.changed;
        if changed {
            adoption.history.changed = Some(now);
        }
        let ended = EndedPing {
            peer: id,
            seq,
            result,
        };
        self.tell_asked(id, result);
        let expected = judgement.meaning == Meaning::Expected;
        self.tell_result(ended, (expected && judgement.is_planned).then_some(due));
        if self.events.observing.wants(EventName::Reply) || !expected {
            self.act_on(id, result, judgement, due);
        }
        if let Meaning::Expected | Meaning::Recovered { .. } = judgement.meaning {
            self.note_reply(id, before.failed_checks, silent_since);
        }
    }

    /// Passes a result to the pinger. `next_check` is the instant of the next check after an
    /// expected reply that came in time: such a result may wait, to be sent together with other
    /// results. It is `None` for every other result, which is sent at the end of the turn.
    fn tell_result(&mut self, ended: EndedPing, next_check: Option<Monotonic>) {
        if self.pinger.helper.ready().is_none() {
            // The next pinger is told the state of the peer.
            return;
        }
        match next_check {
            Some(due) => self.pinger.outbox.expected_result(ended, due, self.now),
            None => self.pinger.outbox.urgent_result(ended, self.now),
        }
    }

    /// Acts on what a result means; the peer is due next at `due`.
    fn act_on(&mut self, id: PeerId, result: PingResult, judgement: Judgement, due: Monotonic) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        if self.events.observing.wants(EventName::Reply)
            && let PingResult::Reply(millis) = result
            && matches!(
                judgement.meaning,
                Meaning::Expected | Meaning::Recovered { .. }
            )
        {
            self.emit_passing(&name, EventName::Reply, || EventKind::Reply { millis });
        }
        match judgement.meaning {
            Meaning::Recovered { failures } => {
                self.emit(Some(&name), || EventKind::Recovered { failures });
                self.warn(["ping-ok", &name], &[""; 0]);
                self.additions.lookups.answers(&name);
            }
            Meaning::Missed { attempt, of } => {
                self.emit(Some(&name), || EventKind::Missed { attempt, of });
                self.attempt_missed(&name, attempt, of);
                let (attempt, of) = (attempt.to_string(), of.to_string());
                self.warn(
                    ["ping-timeout", &name, "attempt", &attempt, "of", &of],
                    &[""; 0],
                );
            }
            Meaning::Expected | Meaning::NotSent | Meaning::Void => {}
        }
        if let Some(failed_checks) = judgement.unreachable {
            self.events.counters.unreachable += 1;
            // Also where no ping could be sent: at a wrong address no keys can be agreed.
            self.want_lookup(&name);
            // A peer that is killed is not checked again.
            let next_ms = self.is_dynamic(id).then(|| millis(due.since(self.now)));
            self.emit(Some(&name), || EventKind::Unreachable {
                failed_checks,
                next_ms,
            });
            self.went_down(id);
            self.unreachable(id);
            self.note_unreachable(id);
        }
    }

    /// A peer did not answer any attempt: reconnect or kill it (the manual, "Operation").
    fn unreachable(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        if self.is_dynamic(id) {
            self.warn(["reconnecting", &name], &[""; 0]);
            self.reconnect(id);
        } else if self.command_with_options(Pending::Kill(name.clone()), "KILL", &name)
            && let Some(peer) = self.peers.get_mut(id)
            && let Some(adoption) = peer.adoption()
        {
            peer.outcome.killed_for = Some(adoption.liveness.plan().retries);
        }
    }

    /// Whether a peer is reconnected when it does not answer.
    fn is_dynamic(&self, id: PeerId) -> bool {
        let record = self.peers.get(id).and_then(|peer| peer.record.as_ref());
        record.is_some_and(is_dynamic)
    }

    /// The server has refused to remove a peer that does not answer. If the server has it, it
    /// stays.
    pub(in crate::machine) fn kill_refused(&mut self, name: &str, failure: &Failure) {
        if failure.code() != "unknown-peer"
            && let Some(id) = self.peers.find(name)
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.outcome.killed_for = None;
        }
    }

    /// Makes a connection again: a key exchange, which is all that a `knock` needs, and the
    /// `connect` command if there is one.
    pub(in crate::machine) fn reconnect(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let name = peer.name().to_owned();
        let record = peer.record.as_ref();
        let has_command = record.is_some_and(|record| record.get("connect").is_some());
        let now = self.now;
        self.events.counters.reconnects += 1;
        if let Some(adoption) = self.peers.adoption_mut(id) {
            let reconnects = &mut adoption.history.reconnects;
            // An earlier core has left it, so it may be the greatest number.
            *reconnects = reconnects.saturating_add(1);
            adoption.history.last_reconnect = Some(now);
        }
        self.emit(Some(&name), || EventKind::Reconnecting {});
        self.command_with_options(Pending::ForceKx(id), "FORCEKX", &name);
        if has_command {
            self.connect_when_decided(id, &name);
        }
    }

    /// When new keys are agreed with a peer that is down, it may answer again: checks it at once,
    /// without waiting for the end of the pause.
    pub(in crate::machine) fn check_now_if_down(&mut self, name: &str) {
        if let Some(id) = self.peers.find(name) {
            self.check_early(id, EarlyCheck::IfDown);
        }
    }

    /// Makes an adopted peer appear unreachable; `false` if the peer is not adopted.
    pub(in crate::machine) fn sabotage(&mut self, name: &str) -> bool {
        let id = self.peers.find(name);
        id.is_some_and(|id| self.check_early(id, EarlyCheck::Sabotaged))
    }
}
