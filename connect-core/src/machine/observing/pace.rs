// SPDX-License-Identifier: GPL-3.0-or-later
//! How fast the state is made, and for whom next: all observers together get a small share of
//! core's time, and each user the same part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ipc::clock::Monotonic;

/// How long core pauses for observers after one row; making and encoding a row takes a third of
/// that. So about 100 rows are made in a millisecond, and 100,000 in a second.
const PER_ROW: Duration = Duration::from_micros(8);

/// The same after a name was looked at, with or without a row.
const PER_NAME: Duration = Duration::from_micros(2);

/// How much may be made at once after a pause: some steps, with a turn for everything else between
/// two of them, so that small tables are sent at once.
const BURST: Duration = Duration::from_millis(3);

/// What one user's requests have cost recently.
#[derive(Clone, Copy, Debug)]
struct Spent {
    cost: Duration,
    /// The instant up to which it was halved.
    at: Monotonic,
}

impl Spent {
    /// The cost as it counts at `now`: half as much with each full second.
    fn at(self, now: Monotonic) -> Spent {
        let seconds = now.since(self.at).as_secs();
        let cost = u32::try_from(seconds)
            .ok()
            .and_then(|it| 1_u32.checked_shl(it));
        Spent {
            cost: cost.map_or(Duration::ZERO, |halvings| self.cost / halvings),
            at: self.at + Duration::from_secs(seconds),
        }
    }
}

/// The time that is used for observers.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// The instant up to which the share of time is used.
    paid: Monotonic,
    spent: BTreeMap<Option<u32>, Spent>,
}

impl Pace {
    /// When the next step may be made.
    pub(super) fn next_step(&self) -> Monotonic {
        self.paid.before(BURST)
    }

    /// What a user's requests have cost recently.
    pub(super) fn spent(&self, user: Option<u32>, now: Monotonic) -> Duration {
        let spent = self.spent.get(&user);
        spent.map_or(Duration::ZERO, |spent| spent.at(now).cost)
    }

    /// A step was made for a user, which looked at this many names and made this many rows.
    pub(super) fn charge(&mut self, user: Option<u32>, names: usize, rows: usize, now: Monotonic) {
        let times = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let names = PER_NAME.saturating_mul(times(names.saturating_add(1)));
        let cost = names.saturating_add(PER_ROW.saturating_mul(times(rows)));
        self.paid = self.paid.max(now) + cost;
        // A user who has used almost nothing counts as a new one.
        self.spent.retain(|_, spent| {
            *spent = spent.at(now);
            spent.cost >= PER_NAME
        });
        let spent = self.spent.entry(user).or_insert(Spent {
            cost: Duration::ZERO,
            at: now,
        });
        spent.cost = spent.cost.saturating_add(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic(1_000_000_000_000);

    #[test]
    fn after_a_rest_some_steps_are_made_at_once_and_then_one_a_millisecond() {
        let (mut pace, mut now) = (Pace::default(), START);
        let mut at_once = 0;
        while pace.next_step() <= now {
            pace.charge(None, 100, 100, now);
            at_once += 1;
        }
        assert_eq!(at_once, 3);
        let before = now;
        for _ in 0..1000 {
            now = pace.next_step();
            pace.charge(None, 100, 100, now);
        }
        let millis = now.since(before).as_millis();
        assert!((990..1010).contains(&millis), "{millis} ms for 1000 steps");
    }

    #[test]
    fn what_was_spent_is_halved_with_each_second_and_then_forgotten() {
        let mut pace = Pace::default();
        let after = |seconds| START + Duration::from_secs(seconds);
        pace.charge(Some(1), 100, 100, START);
        let spent = pace.spent(Some(1), START);
        assert_eq!(spent, Duration::from_micros(1002));
        assert_eq!(pace.spent(Some(1), after(1)), spent / 2);
        assert_eq!(pace.spent(Some(1), after(3)), spent / 8);
        pace.charge(Some(2), 0, 0, after(8));
        assert_eq!(pace.spent.len(), 2);
        pace.charge(Some(2), 0, 0, after(32));
        assert_eq!(pace.spent.len(), 1);
        assert_eq!(pace.spent(Some(1), after(100)), Duration::ZERO);
    }
}
