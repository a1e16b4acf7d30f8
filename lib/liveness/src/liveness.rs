// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer's checks as a state machine.
//!
//! ```text
//!            due                      reply
//!   idle ----------> ping in flight ---------> idle, next check after `every`
//!    ^                |  ^      | no reply, attempts left: at once
//!    |   none left    |  +------+ not sent, attempts left: after `timeout`
//!    +----------------+         | void: the same attempt again, at once
//!      unreachable; next check after a pause
//! ```
//!
//! `every` counts from the instant at which the answered check was due. If an attempt of this check
//! failed, or if the next instant has passed already, it counts from the reply.

use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::pinger::{PingPhase, PingPlan, PingResult};
use connect_ipc::statistics::PingStatistics;

use crate::backoff;
use crate::catch_up::{CatchUp, take_back};

/// How far ahead of its time a ping may be ordered at most, in milliseconds.
const LEEWAY: u64 = 60_000;

/// What the end of a ping means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// The peer replied to the first attempt of a check, and its last check, if there was one, had
    /// not failed.
    Expected,
    /// The peer replied after attempts or whole checks that had failed.
    Recovered {
        /// Failed attempts of this check.
        failures: u32,
    },
    /// No reply came to this attempt.
    Missed {
        /// Which attempt of the check, from 1.
        attempt: u32,
        /// Attempts of a check.
        of: u32,
    },
    /// The server could not send the ping. This counts as a failed attempt, so a peer whose pings
    /// are never sent is unreachable after `retries` attempts too; it is not among the lost pings.
    NotSent,
    /// Nothing: the ping is sent again, and the rest of the phase stays as it was.
    Void,
}

/// What the end of a ping means, and whether it ended the last attempt of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// What it means by itself.
    pub meaning: Meaning,
    /// If all attempts have failed, so that the peer is unreachable: how many checks in a row.
    pub unreachable: Option<u32>,
    /// Whether the next check is due a period after this one was. Otherwise that depends on when
    /// the ping ended.
    pub is_planned: bool,
}

/// The plan, the phase and the figures of one adopted peer. Only these methods and
/// [`CatchUp::apply`] change the phase. Small and flat, since there may be very many.
#[derive(Clone, Debug, PartialEq)]
pub struct Liveness {
    plan: PingPlan,
    phase: PingPhase,
    statistics: PingStatistics,
}

// What runs for every ping is marked `inline`, since a call from another crate is not inlined
// otherwise.
impl Liveness {
    /// A peer that has not been checked yet and is due at `due`.
    #[must_use]
    pub fn starting(plan: PingPlan, due: Monotonic) -> Self {
        let phase = PingPhase {
            due,
            ..PingPhase::default()
        };
        Self::standing(plan, phase, PingStatistics::default())
    }

    /// A peer with this plan, this phase and these figures.
    #[must_use]
    pub const fn standing(plan: PingPlan, phase: PingPhase, statistics: PingStatistics) -> Self {
        Liveness {
            plan,
            phase,
            statistics,
        }
    }

    /// A peer whose phase and figures come from an earlier core, or from a pinger that has outlived
    /// it. No ping is in flight any more: its answer, if any, went to the earlier core. The next
    /// ping is due at the latest after the longest wait of the new plan (`timeout` within a check,
    /// `every` after a reply, `backoff_max` after a failed check), and not before `now`.
    #[must_use]
    pub fn carried_on(
        plan: PingPlan,
        mut phase: PingPhase,
        statistics: PingStatistics,
        now: Monotonic,
    ) -> Self {
        take_back(&mut phase, now);
        let longest = match (phase.checking, phase.failed_checks) {
            (true, _) => plan.timeout,
            (false, 0) => plan.every,
            (false, _) => plan.backoff_max,
        };
        phase.in_flight = None;
        // A ping that became due before `now` is due now. It does not count as late, since no core
        // knew the peer.
        phase.due = phase.due.min(now + seconds(longest)).max(now);
        Self::standing(plan, phase, statistics)
    }

    /// Its plan.
    #[must_use]
    pub const fn plan(&self) -> &PingPlan {
        &self.plan
    }

    /// Its phase.
    #[must_use]
    pub const fn phase(&self) -> &PingPhase {
        &self.phase
    }

    /// Its figures.
    #[must_use]
    pub const fn statistics(&self) -> &PingStatistics {
        &self.statistics
    }

    /// When the next ping is due; `None` while one is in flight, since the server keeps its time.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Monotonic> {
        self.phase.in_flight.is_none().then_some(self.phase.due)
    }

    /// Whether no ping of the peer has begun yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.phase.last_seq == 0 && self.statistics == PingStatistics::default()
    }

    /// The number of the next ping.
    #[must_use]
    pub const fn next_seq(&self) -> u32 {
        self.phase.last_seq.wrapping_add(1)
    }

    /// How far ahead of its time the next ping may be ordered, if that saves a wake-up: half of
    /// `every`, and at most a minute, unless the last check has failed or one is under way. Whoever
    /// may be checked early is ordered when it is due.
    #[must_use]
    #[inline]
    pub const fn leeway(&self) -> Duration {
        let phase = &self.phase;
        let replies = phase.failures == 0 && phase.failed_checks == 0;
        if replies && !phase.checking && !phase.sabotaged {
            let half = self.plan.every as u64 * 500;
            Duration::from_millis(if half < LEEWAY { half } else { LEEWAY })
        } else {
            Duration::ZERO
        }
    }

    /// Whether a check is in progress at `now`. Its first ping is ordered before it is due; until
    /// then there is no check.
    #[must_use]
    #[inline]
    pub fn is_checked(&self, now: Monotonic) -> bool {
        let phase = &self.phase;
        let is_ahead = phase.in_flight.is_some() && phase.failures == 0 && phase.due > now;
        phase.checking && !is_ahead
    }

    /// Begins the ping `seq`, which is due at `due`. Refuses, by `false`, a second ping in flight
    /// and a number that was used already. Numbers may have gaps: an order that became void on its
    /// way to core has used a number.
    #[must_use]
    #[inline]
    pub const fn begin(&mut self, seq: u32, due: Monotonic) -> bool {
        let ahead = seq.wrapping_sub(self.phase.last_seq);
        // Numbers wrap around, so the half of them behind the last one is taken for used.
        if self.phase.in_flight.is_some() || ahead == 0 || ahead > u32::MAX / 2 {
            return false;
        }
        if !self.phase.checking {
            self.phase.checking = true;
            self.phase.failures = 0;
        }
        self.phase.due = due;
        self.phase.last_seq = seq;
        self.phase.in_flight = Some(seq);
        true
    }

    /// Takes the end of a ping and says what it means; `None` if that ping is not in flight.
    /// `peer` determines the random part of a pause.
    #[inline]
    pub fn result(
        &mut self,
        peer: PeerId,
        seq: u32,
        result: PingResult,
        now: Monotonic,
    ) -> Option<Judgement> {
        if self.phase.in_flight != Some(seq) {
            return None;
        }
        self.phase.in_flight = None;
        let meaning = match result {
            PingResult::Reply(millis) if !self.phase.sabotaged => {
                self.statistics.record_reply(millis);
                return Some(self.replied(now));
            }
            PingResult::Reply(_) | PingResult::Timeout => {
                self.statistics.record_loss();
                self.count_failure();
                // The next attempt follows at once: this one has done the waiting.
                self.phase.due = now;
                Meaning::Missed {
                    attempt: self.phase.failures,
                    of: self.plan.retries,
                }
            }
            PingResult::Failed => {
                self.count_failure();
                // Nothing has waited yet, so wait here; otherwise all attempts fail in one moment.
                self.phase.due = now + seconds(self.plan.timeout);
                Meaning::NotSent
            }
            PingResult::Void => {
                self.phase.due = now;
                Meaning::Void
            }
        };
        Some(Judgement {
            meaning,
            unreachable: self.give_up(peer, now),
            is_planned: false,
        })
    }

    fn replied(&mut self, now: Monotonic) -> Judgement {
        let failures = self.phase.failures;
        let meaning = if failures > 0 || self.phase.failed_checks > 0 {
            Meaning::Recovered { failures }
        } else {
            Meaning::Expected
        };
        let every = seconds(self.plan.every);
        let planned = self.phase.due + every;
        // One period after the last deadline, so that nothing drifts. If an attempt failed, or if
        // that instant has passed because the host was suspended, one period after the reply.
        let is_planned = failures == 0 && planned > now;
        self.phase.due = if is_planned { planned } else { now + every };
        self.phase.checking = false;
        self.phase.failed_checks = 0;
        Judgement {
            meaning,
            unreachable: None,
            is_planned,
        }
    }

    /// Counts an attempt that failed. A state that was damaged may have the greatest number.
    fn count_failure(&mut self) {
        self.phase.failures = self.phase.failures.saturating_add(1);
    }

    /// Ends the check if no attempt is left.
    fn give_up(&mut self, peer: PeerId, now: Monotonic) -> Option<u32> {
        if self.phase.failures < self.plan.retries {
            return None;
        }
        self.phase.checking = false;
        self.phase.sabotaged = false;
        self.phase.failed_checks = self.phase.failed_checks.saturating_add(1);
        self.phase.due = now + backoff::pause(&self.plan, peer, self.phase.failed_checks);
        Some(self.phase.failed_checks)
    }

    /// Takes a changed plan. A wait that would be shorter under the new plan is shortened, and the
    /// wait of a peer that replies becomes as long as the new plan says. A check in progress goes
    /// on, and one that is due is not put off: it may have been requested. Nor is one whose ping is
    /// ordered: the order may be on its way to core, which cannot know of it.
    pub fn replan(&mut self, plan: PingPlan, now: Monotonic) {
        let old = std::mem::replace(&mut self.plan, plan);
        if self.is_checked(now) {
            return;
        }
        let before = self.phase.due;
        self.phase.due = if before <= now {
            now
        } else if self.phase.failed_checks == 0 {
            let last = self.phase.due.before(seconds(old.every));
            (last + seconds(plan.every)).max(now)
        } else {
            self.phase.due.min(now + seconds(plan.backoff_max))
        };
        if self.phase.in_flight.is_some() {
            self.phase.due = self.phase.due.min(before);
        }
    }

    /// Checks the peer at once unless a check is in progress or overdue.
    pub fn check_now(&mut self, now: Monotonic) {
        if !self.is_checked(now) {
            self.phase.due = self.phase.due.min(now);
        }
    }

    /// Counts replies as lost until the peer has become unreachable, and checks it at once.
    pub fn sabotage(&mut self, now: Monotonic) {
        self.phase.sabotaged = true;
        self.check_now(now);
    }

    /// The server is back after an outage: see [`CatchUp::apply`].
    pub fn catch_up(&mut self, catch_up: &mut CatchUp) -> bool {
        catch_up.apply(&mut self.phase)
    }
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

    const REPLY: PingResult = PingResult::Reply(1.0);

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000_000)
    }

    fn peer(plan: PingPlan) -> Liveness {
        Liveness::starting(plan, at(100))
    }

    fn missed(attempt: u32, of: u32) -> Meaning {
        Meaning::Missed { attempt, of }
    }

    /// Sends the ping that is due and gives it this end at `now`.
    fn exchange(peer: &mut Liveness, result: PingResult, now: Monotonic) -> (Meaning, Option<u32>) {
        let seq = peer.next_seq();
        assert!(peer.begin(seq, peer.phase.due));
        let judgement = peer.result(PeerId(1), seq, result, now).unwrap();
        (judgement.meaning, judgement.unreachable)
    }

    #[test]
    fn a_live_peer_is_checked_at_regular_intervals_without_drift() {
        let mut peer = peer(PLAN);
        for round in 0..1_000 {
            assert_eq!(peer.deadline(), Some(at(100 + 30 * round)));
            let late = at(100 + 30 * round) + Duration::from_millis(137);
            assert_eq!(exchange(&mut peer, REPLY, late), (Meaning::Expected, None));
        }
        assert_eq!(peer.statistics.replies, 1_000);
    }

    #[test]
    fn a_ping_that_says_nothing_is_sent_again_and_counts_nowhere() {
        let mut peer = peer(PingPlan { retries: 1, ..PLAN });
        let end = exchange(&mut peer, PingResult::Void, at(180));
        assert_eq!(end, (Meaning::Void, None));
        assert_eq!(peer.deadline(), Some(at(180)));
        assert_eq!(peer.statistics, PingStatistics::default());
        assert_eq!(peer.phase.failures, 0);
        assert_eq!(
            exchange(&mut peer, REPLY, at(181)),
            (Meaning::Expected, None)
        );
    }

    #[test]
    fn a_dead_peer_is_tried_so_many_times_and_declared_unreachable() {
        let mut peer = peer(PLAN);
        for (attempt, now) in [(1, 110), (2, 120)] {
            let end = exchange(&mut peer, PingResult::Timeout, at(now));
            assert_eq!(end, (missed(attempt, 3), None));
            let next = peer.deadline();
            assert_eq!(next, Some(at(now)), "the next attempt follows at once");
        }
        assert_eq!(
            exchange(&mut peer, PingResult::Timeout, at(130)),
            (missed(3, 3), Some(1))
        );
        assert_eq!(peer.deadline(), Some(at(160)));
        assert_eq!(peer.statistics.lost, 3);
        assert_eq!(peer.phase.failures, 3, "shown until the next check begins");
    }

    #[test]
    fn a_reply_after_failures_is_a_recovery_and_the_wait_starts_there() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingResult::Timeout, at(110));
        assert_eq!(
            exchange(&mut peer, REPLY, at(111)),
            (Meaning::Recovered { failures: 1 }, None)
        );
        assert_eq!(peer.deadline(), Some(at(141)));
        assert_eq!(
            exchange(&mut peer, REPLY, at(142)),
            (Meaning::Expected, None)
        );
        assert_eq!(peer.deadline(), Some(at(171)));
    }

    #[test]
    fn a_reply_after_an_unreachable_round_is_a_recovery_too() {
        let mut peer = peer(PingPlan { retries: 1, ..PLAN });
        exchange(&mut peer, PingResult::Timeout, at(110));
        assert_eq!(
            exchange(&mut peer, REPLY, at(141)),
            (Meaning::Recovered { failures: 0 }, None)
        );
    }

    #[test]
    fn a_ping_that_could_not_be_sent_counts_as_failed_and_the_schedule_goes_on() {
        let mut peer = peer(PLAN);
        for (now, unreachable) in [(100, None), (110, None), (120, Some(1))] {
            assert_eq!(peer.deadline(), Some(at(now)));
            let end = exchange(&mut peer, PingResult::Failed, at(now));
            assert_eq!(end, (Meaning::NotSent, unreachable));
        }
        let lost = peer.statistics.lost;
        assert_eq!(lost, 0, "nothing was lost that was never sent");
    }

    #[test]
    fn the_counts_of_failures_end_at_their_greatest_number() {
        for result in [PingResult::Timeout, PingResult::Failed] {
            let phase = PingPhase {
                due: at(100),
                failures: u32::MAX,
                checking: true,
                failed_checks: u32::MAX,
                ..PingPhase::default()
            };
            let plan = PingPlan {
                retries: u32::MAX,
                ..PLAN
            };
            let mut peer = Liveness::standing(plan, phase, PingStatistics::default());
            let (_, unreachable) = exchange(&mut peer, result, at(110));
            assert_eq!(unreachable, Some(u32::MAX));
            assert_eq!(peer.phase.failures, u32::MAX);
        }
    }

    #[test]
    fn a_peer_whose_check_has_failed_may_not_be_ordered_far_ahead() {
        let mut peer = peer(PLAN);
        assert_eq!(peer.leeway(), seconds(15));
        let rare = Liveness::starting(PingPlan { every: 300, ..PLAN }, at(100));
        assert_eq!(rare.leeway(), seconds(60));
        exchange(&mut peer, PingResult::Timeout, at(110));
        assert_eq!(peer.leeway(), Duration::ZERO);
        exchange(&mut peer, REPLY, at(111));
        exchange(&mut peer, REPLY, at(141));
        assert_eq!(peer.leeway(), seconds(15));
        peer.sabotage(at(142));
        assert_eq!(peer.leeway(), Duration::ZERO);
    }

    #[test]
    fn a_ping_that_was_ordered_ahead_can_be_due_at_another_time_until_it_is_due() {
        let mut peer = peer(PLAN);
        assert!(peer.begin(1, at(100)));
        assert!(!peer.is_checked(at(99)));
        peer.replan(PingPlan { every: 40, ..PLAN }, at(80));
        assert_eq!(peer.phase.due, at(100), "it is not put off");
        peer.replan(PingPlan { every: 38, ..PLAN }, at(80));
        assert_eq!(peer.phase.due, at(98));
        peer.check_now(at(95));
        assert_eq!(peer.phase.due, at(95));
        assert!(peer.is_checked(at(95)));
        peer.check_now(at(96));
        peer.replan(PingPlan { every: 5, ..PLAN }, at(95));
        assert_eq!(peer.phase.due, at(95), "it was sent");
    }

    #[test]
    fn a_check_whose_ping_an_outage_has_voided_is_not_put_off() {
        let mut peer = peer(PLAN);
        assert!(peer.begin(1, at(100)));
        let mut catch_up = CatchUp::new(at(101));
        catch_up.instant();
        assert!(peer.catch_up(&mut catch_up));
        let due = peer.phase.due;
        assert!(due > at(101) && peer.is_checked(at(101)));
        let every = 3_600;
        peer.replan(PingPlan { every, ..PLAN }, at(101));
        assert_eq!(peer.deadline(), Some(due));
    }

    #[test]
    fn a_ping_that_was_ordered_ahead_and_never_sent_is_due_as_before() {
        for failures in [0, 1] {
            let phase = PingPhase {
                due: at(20),
                in_flight: Some(7),
                last_seq: 7,
                checking: true,
                failures,
                ..PingPhase::default()
            };
            let statistics = PingStatistics::default();
            let mut peer = Liveness::standing(PLAN, phase, statistics);
            assert!(peer.catch_up(&mut CatchUp::new(at(10))));
            assert_eq!(peer.deadline(), Some(at(20)));
            assert_eq!(peer.phase.checking, failures > 0);
            let peer = Liveness::carried_on(PLAN, phase, statistics, at(15));
            assert_eq!(peer.deadline(), Some(at(20)), "{failures}");
            assert_eq!(peer.phase.checking, failures > 0);
        }
    }

    #[test]
    fn results_of_other_pings_are_ignored() {
        let mut peer = peer(PLAN);
        assert!(peer.begin(1, at(100)));
        let mut end = |seq, result| peer.result(PeerId(1), seq, result, at(110));
        assert_eq!(end(2, PingResult::Timeout), None);
        assert!(end(1, REPLY).is_some());
        assert_eq!(end(1, PingResult::Timeout), None);
        assert_eq!((peer.statistics.replies, peer.statistics.lost), (1, 0));
    }

    #[test]
    fn one_ping_at_a_time_and_each_number_once() {
        let mut peer = peer(PLAN);
        assert!(peer.begin(5, at(100)), "numbers may be left out");
        assert!(!peer.begin(6, at(100)), "one is in flight");
        peer.result(PeerId(1), 5, REPLY, at(100));
        assert!(!peer.begin(5, at(130)) && !peer.begin(4, at(130)));
        let mut catch_up = CatchUp::new(at(130));
        assert!(peer.begin(u32::MAX / 2, at(130)) && peer.catch_up(&mut catch_up));
        assert!(peer.begin(u32::MAX - 1, at(130)) && peer.catch_up(&mut catch_up));
        assert!(peer.begin(0, at(130)), "they wrap around");
    }

    #[test]
    fn a_sabotaged_peer_is_checked_at_once_and_found_unreachable_once() {
        let mut peer = peer(PingPlan { retries: 2, ..PLAN });
        peer.sabotage(at(50));
        assert_eq!(peer.deadline(), Some(at(50)));
        assert_eq!(exchange(&mut peer, REPLY, at(51)), (missed(1, 2), None));
        assert_eq!(exchange(&mut peer, REPLY, at(52)), (missed(2, 2), Some(1)));
        assert_eq!(
            exchange(&mut peer, REPLY, at(82)),
            (Meaning::Recovered { failures: 0 }, None)
        );
    }

    #[test]
    fn a_check_at_once_does_not_put_an_overdue_check_off() {
        let mut peer = peer(PLAN);
        peer.check_now(at(101));
        assert_eq!(peer.deadline(), Some(at(100)));
    }

    #[test]
    fn a_shorter_interval_takes_effect_in_the_wait_under_way() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, REPLY, at(100));
        assert_eq!(peer.deadline(), Some(at(130)));
        peer.replan(PingPlan { every: 10, ..PLAN }, at(105));
        assert_eq!(peer.deadline(), Some(at(110)));
        peer.replan(PingPlan { every: 2, ..PLAN }, at(108));
        assert_eq!(peer.deadline(), Some(at(108)), "not in the past");
    }

    #[test]
    fn a_longer_interval_takes_effect_in_the_wait_under_way() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, REPLY, at(100));
        peer.replan(PingPlan { every: 60, ..PLAN }, at(105));
        assert_eq!(peer.deadline(), Some(at(160)));
    }

    #[test]
    fn a_check_that_is_due_is_not_put_off_by_a_longer_interval() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, REPLY, at(100));
        peer.check_now(at(105));
        peer.replan(PingPlan { every: 60, ..PLAN }, at(105));
        assert_eq!(peer.deadline(), Some(at(105)));
    }

    #[test]
    fn a_pause_that_may_not_be_so_long_any_more_is_shortened() {
        let mut peer = peer(PingPlan { retries: 1, ..PLAN });
        exchange(&mut peer, PingResult::Timeout, at(110));
        assert_eq!(peer.deadline(), Some(at(140)));
        let short = PingPlan {
            backoff_max: 5,
            ..PLAN
        };
        peer.replan(short, at(111));
        assert_eq!(peer.deadline(), Some(at(116)));
        peer.replan(PLAN, at(112));
        assert_eq!(peer.deadline(), Some(at(116)), "but never lengthened");
    }

    #[test]
    fn a_new_plan_leaves_a_check_under_way_alone() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, PingResult::Timeout, at(110));
        let plan = PingPlan {
            every: 600,
            retries: 2,
            ..PLAN
        };
        peer.replan(plan, at(110));
        assert_eq!(peer.deadline(), Some(at(110)));
        assert_eq!(
            exchange(&mut peer, PingResult::Timeout, at(120)),
            (missed(2, 2), Some(1))
        );
    }

    #[test]
    fn a_machine_that_slept_does_not_make_up_for_missed_checks() {
        let mut peer = peer(PLAN);
        exchange(&mut peer, REPLY, at(10_000));
        assert_eq!(peer.deadline(), Some(at(10_030)));
    }

    #[test]
    fn a_peer_that_is_carried_on_waits_no_longer_than_the_new_plan_says() {
        let phase = |checking, failed_checks| PingPhase {
            due: at(1_000),
            in_flight: Some(7),
            last_seq: 7,
            checking,
            failures: u32::from(checking),
            failed_checks,
            ..PingPhase::default()
        };
        for (phase, due) in [
            (phase(true, 0), at(10)),
            (phase(false, 0), at(30)),
            (phase(false, 1), at(120)),
        ] {
            let peer = Liveness::carried_on(PLAN, phase, PingStatistics::default(), at(0));
            assert_eq!(peer.deadline(), Some(due));
            assert_eq!(peer.next_seq(), 8);
        }
        // What fell due before is due now, and not since then.
        let late =
            Liveness::carried_on(PLAN, phase(false, 0), PingStatistics::default(), at(2_000));
        assert_eq!(late.deadline(), Some(at(2_000)));
    }
}
