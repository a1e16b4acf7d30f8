// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer's checks, as a pure state machine: the algorithm of connect(8), "Operation".
//!
//! ```text
//!            due                      reply
//!   idle ----------> ping in flight ---------> idle, next check `every` after the last
//!    ^                |  ^      | no reply, attempts left: at once
//!    |   none left    |  +------+ not sent, attempts left: after `timeout`
//!    +----------------+
//!      unreachable; next check after a pause
//! ```

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::{
    Meaning, PingOrder, PingOutcome, PingPhase, PingPlan, Remembered, Verdict, Watched,
};
use connect_ipc::statistics::PingStatistics;

use crate::backoff;

/// One watched peer. Small and flat, since there may be very many.
#[derive(Clone, Debug)]
pub struct Liveness {
    peer: PeerId,
    name: Box<str>,
    plan: PingPlan,
    phase: PingPhase,
    statistics: PingStatistics,
}

impl Liveness {
    /// Begins, or goes on from where an earlier pinger stopped. Without a phase the peer is
    /// checked at once.
    #[must_use]
    pub fn new(watched: Watched, now: Monotonic) -> Self {
        let phase = watched.phase.unwrap_or(PingPhase {
            due: now,
            ..PingPhase::default()
        });
        Liveness {
            peer: watched.peer,
            name: watched.name.into(),
            plan: watched.plan,
            phase,
            statistics: watched.statistics,
        }
    }

    /// When something is to be done; `None` while a ping is under way, since the server keeps its
    /// time.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        self.phase.in_flight.is_none().then_some(self.phase.due)
    }

    /// What a later core needs to know.
    #[must_use]
    pub fn remember(&self) -> Remembered {
        Remembered {
            name: self.name.to_string(),
            phase: self.phase,
            statistics: self.statistics,
        }
    }

    /// Sends the ping that is due.
    pub fn ping(&mut self) -> PingOrder {
        if !self.phase.checking {
            self.phase.checking = true;
            self.phase.failures = 0;
        }
        self.phase.last_seq = self.phase.last_seq.wrapping_add(1);
        self.phase.in_flight = Some(self.phase.last_seq);
        PingOrder {
            peer: self.peer,
            seq: self.phase.last_seq,
            failures: self.phase.failures,
            due: self.phase.due,
        }
    }

    /// Takes a ping's result and appends what it means. A result for a ping that is not under way
    /// is ignored.
    pub fn result(
        &mut self,
        seq: u32,
        outcome: PingOutcome,
        now: Monotonic,
        verdicts: &mut Vec<Verdict>,
    ) {
        if self.phase.in_flight != Some(seq) {
            return;
        }
        self.phase.in_flight = None;
        match outcome {
            PingOutcome::Reply(millis) if !self.phase.sabotaged => {
                self.statistics.record_reply(millis);
                self.alive(now, verdicts);
            }
            PingOutcome::Reply(_) | PingOutcome::Timeout => {
                self.statistics.record_loss();
                self.phase.failures += 1;
                // The next attempt follows at once: its waiting was done by this one.
                self.phase.due = now;
                let missed = Meaning::Missed {
                    attempt: self.phase.failures,
                    of: self.plan.retries,
                };
                self.attempt_failed(Some(missed), now, verdicts);
            }
            PingOutcome::Failed => {
                self.phase.failures += 1;
                // Nothing has waited yet, so wait here: else all attempts would fail in one moment.
                self.phase.due = now + seconds(self.plan.timeout);
                self.attempt_failed(None, now, verdicts);
            }
        }
    }

    fn alive(&mut self, now: Monotonic, verdicts: &mut Vec<Verdict>) {
        let troubled = self.phase.failures > 0 || self.phase.rounds > 0;
        self.phase.due = if self.phase.failures > 0 {
            // The check took several timeouts, so its start is no measure for the next.
            now + seconds(self.plan.every)
        } else {
            self.plan.next_check(self.phase.due, now)
        };
        self.phase.checking = false;
        self.phase.rounds = 0;
        if troubled {
            let meaning = Meaning::Recovered {
                failures: self.phase.failures,
            };
            verdicts.push(self.verdict(meaning));
        }
    }

    fn attempt_failed(
        &mut self,
        meaning: Option<Meaning>,
        now: Monotonic,
        verdicts: &mut Vec<Verdict>,
    ) {
        verdicts.extend(meaning.map(|meaning| self.verdict(meaning)));
        if self.phase.failures < self.plan.retries {
            return;
        }
        self.phase.checking = false;
        self.phase.sabotaged = false;
        self.phase.rounds = self.phase.rounds.saturating_add(1);
        self.phase.due = now + backoff::pause(&self.plan, self.peer, self.phase.rounds);
        let meaning = Meaning::Unreachable {
            rounds: self.phase.rounds,
        };
        verdicts.push(self.verdict(meaning));
    }

    const fn verdict(&self, meaning: Meaning) -> Verdict {
        Verdict {
            peer: self.peer,
            meaning,
            next: self.phase.due,
        }
    }

    /// Takes a changed plan. A wait that would be shorter under the new plan is shortened; a ping
    /// under way goes on.
    pub fn replan(&mut self, plan: PingPlan, now: Monotonic) {
        let old = std::mem::replace(&mut self.plan, plan);
        if self.phase.checking || self.phase.in_flight.is_some() {
            return;
        }
        let waited_from = if self.phase.rounds == 0 {
            Monotonic(self.phase.due.0.saturating_sub(nanos(old.every)))
        } else {
            now
        };
        let pause = if self.phase.rounds == 0 {
            plan.every
        } else {
            plan.backoff_max
        };
        let due = (waited_from + seconds(pause)).max(now);
        if self.phase.rounds == 0 || due < self.phase.due {
            self.phase.due = due;
        }
    }

    /// Checks the peer at once unless a check is under way.
    pub fn check_now(&mut self, now: Monotonic) {
        if !self.phase.checking && self.phase.in_flight.is_none() {
            self.phase.due = now;
        }
    }

    /// Counts replies as lost until the peer was declared unreachable, and checks it at once.
    pub fn sabotage(&mut self, now: Monotonic) {
        self.phase.sabotaged = true;
        self.check_now(now);
    }

    /// The ping under way, if any, will never be answered. Its check begins anew at `due`.
    pub fn void_ping(&mut self, due: Monotonic) {
        if self.phase.in_flight.take().is_some() {
            self.phase.due = due;
        }
    }

    /// Puts off a deadline that has passed already to `due`.
    pub fn postpone(&mut self, now: Monotonic, due: Monotonic) {
        if self.phase.in_flight.is_none() && self.phase.due < now {
            self.phase.due = due;
        }
    }
}

fn nanos(seconds: u32) -> u64 {
    u64::from(seconds) * 1_000_000_000
}

const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: PingPlan = PingPlan {
        every: 30,
        timeout: 10,
        retries: 3,
        backoff: 30,
        backoff_max: 120,
    };

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000_000)
    }

    fn peer(plan: PingPlan) -> Liveness {
        let phase = PingPhase {
            due: at(100),
            ..PingPhase::default()
        };
        let watched = Watched {
            peer: PeerId(1),
            name: "alice".into(),
            plan,
            phase: Some(phase),
            statistics: PingStatistics::default(),
        };
        Liveness::new(watched, at(0))
    }

    /// Sends the due ping and answers it at `now`.
    fn exchange(peer: &mut Liveness, outcome: PingOutcome, now: Monotonic) -> Vec<Meaning> {
        let order = peer.ping();
        let mut verdicts = Vec::new();
        peer.result(order.seq, outcome, now, &mut verdicts);
        verdicts
            .into_iter()
            .map(|verdict| verdict.meaning)
            .collect()
    }

    #[test]
    fn a_live_peer_is_checked_at_regular_intervals_without_drift() {
        let mut peer = peer(PLAN);
        for round in 0..1_000 {
            assert_eq!(peer.deadline(), Some(at(100 + 30 * round)));
            let late = at(100 + 30 * round) + Duration::from_millis(137);
            assert_eq!(exchange(&mut peer, PingOutcome::Reply(1.0), late), []);
        }
        assert_eq!(peer.statistics.replies, 1_000);
    }

    #[test]
    fn a_dead_peer_is_tried_so_many_times_and_declared_unreachable() {
        let mut peer = peer(PLAN);
        for (attempt, now) in [(1, 110), (2, 120)] {
            let missed = Meaning::Missed { attempt, of: 3 };
            assert_eq!(exchange(&mut peer, PingOutcome::Timeout, at(now)), [missed]);
            assert_eq!(
                peer.deadline(),
                Some(at(now)),
                "the next attempt follows at once"
            );
        }
        assert_eq!(
            exchange(&mut peer, PingOutcome::Timeout, at(130)),
            [
                Meaning::Missed { attempt: 3, of: 3 },
                Meaning::Unreachable { rounds: 1 }
            ]
        );
        assert_eq!(peer.deadline(), Some(at(160)));
        assert_eq!(peer.statistics.lost, 3);
        assert_eq!(peer.phase.failures, 3, "shown until the next check begins");
    }

    #[test]
    fn a_reply_after_failures_is_a_recovery_and_the_wait_starts_there() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingOutcome::Timeout, at(110));
        assert_eq!(
            exchange(&mut peer, PingOutcome::Reply(2.0), at(111)),
            [Meaning::Recovered { failures: 1 }]
        );
        assert_eq!(peer.deadline(), Some(at(141)));
        assert_eq!(exchange(&mut peer, PingOutcome::Reply(2.0), at(142)), []);
        assert_eq!(peer.deadline(), Some(at(171)));
    }

    #[test]
    fn a_reply_after_an_unreachable_round_is_a_recovery_too() {
        let mut peer = peer(PingPlan { retries: 1, ..PLAN });
        exchange(&mut peer, PingOutcome::Timeout, at(110));
        assert_eq!(
            exchange(&mut peer, PingOutcome::Reply(2.0), at(141)),
            [Meaning::Recovered { failures: 0 }]
        );
    }

    #[test]
    fn a_ping_that_could_not_be_sent_counts_as_failed_and_the_schedule_goes_on() {
        let mut peer = peer(PLAN);
        assert_eq!(exchange(&mut peer, PingOutcome::Failed, at(100)), []);
        assert_eq!(peer.deadline(), Some(at(110)));
        assert_eq!(exchange(&mut peer, PingOutcome::Failed, at(110)), []);
        assert_eq!(
            exchange(&mut peer, PingOutcome::Failed, at(120)),
            [Meaning::Unreachable { rounds: 1 }]
        );
        assert_eq!(
            peer.statistics.lost, 0,
            "nothing was lost that was never sent"
        );
    }

    #[test]
    fn results_of_other_pings_are_ignored() {
        let mut peer = peer(PLAN);
        let order = peer.ping();
        let mut verdicts = Vec::new();
        peer.result(order.seq + 1, PingOutcome::Timeout, at(110), &mut verdicts);
        assert_eq!(peer.deadline(), None);
        peer.result(order.seq, PingOutcome::Reply(1.0), at(110), &mut verdicts);
        peer.result(order.seq, PingOutcome::Timeout, at(111), &mut verdicts);
        assert_eq!(
            (verdicts, peer.statistics.replies, peer.statistics.lost),
            (vec![], 1, 0)
        );
    }

    #[test]
    fn a_sabotaged_peer_is_checked_at_once_and_found_unreachable_once() {
        let mut peer = peer(PingPlan { retries: 2, ..PLAN });
        peer.sabotage(at(50));
        assert_eq!(peer.deadline(), Some(at(50)));
        let reply = PingOutcome::Reply(1.0);
        assert_eq!(
            exchange(&mut peer, reply, at(51)),
            [Meaning::Missed { attempt: 1, of: 2 }]
        );
        assert_eq!(
            exchange(&mut peer, reply, at(52)),
            [
                Meaning::Missed { attempt: 2, of: 2 },
                Meaning::Unreachable { rounds: 1 }
            ]
        );
        assert_eq!(
            exchange(&mut peer, reply, at(82)),
            [Meaning::Recovered { failures: 0 }]
        );
    }

    #[test]
    fn a_shorter_interval_takes_effect_in_the_wait_under_way() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingOutcome::Reply(1.0), at(100));
        assert_eq!(peer.deadline(), Some(at(130)));
        peer.replan(PingPlan { every: 10, ..PLAN }, at(105));
        assert_eq!(peer.deadline(), Some(at(110)));
        peer.replan(PingPlan { every: 2, ..PLAN }, at(108));
        assert_eq!(peer.deadline(), Some(at(108)), "not in the past");
        peer.replan(PingPlan { every: 60, ..PLAN }, at(108));
        assert_eq!(peer.deadline(), Some(at(166)));
    }

    #[test]
    fn a_new_plan_leaves_a_check_under_way_alone() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingOutcome::Timeout, at(110));
        peer.replan(
            PingPlan {
                every: 600,
                retries: 2,
                ..PLAN
            },
            at(110),
        );
        assert_eq!(peer.deadline(), Some(at(110)));
        assert_eq!(
            exchange(&mut peer, PingOutcome::Timeout, at(120)).last(),
            Some(&Meaning::Unreachable { rounds: 1 })
        );
    }

    #[test]
    fn a_machine_that_slept_does_not_make_up_for_missed_checks() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingOutcome::Reply(1.0), at(10_000));
        assert_eq!(peer.deadline(), Some(at(10_030)));
    }
}
