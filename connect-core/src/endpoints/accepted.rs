// SPDX-License-Identifier: GPL-3.0-or-later
//! How often users connect: one too often is turned away, so that nobody else waits for it. No
//! clock and no waiting is in here.

use std::collections::HashMap;

use connect_ipc::clock::Monotonic;

use crate::endpoints::limits;
use crate::endpoints::places::NoPlace;
use crate::endpoints::rate::Bucket;

/// How many users are remembered before those at rest are forgotten.
const USERS: usize = 1024;

/// The connections of each user lately, those that were turned away not among them.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    users: HashMap<Option<u32>, Bucket>,
}

impl Accepted {
    /// A connection of a user comes: whether it is one too soon.
    pub(super) fn note(&mut self, user: Option<u32>, now: Monotonic) -> Result<(), NoPlace> {
        if self.users.len() >= USERS {
            self.users.retain(|_, bucket| !bucket.is_at_rest(now));
        }
        let bucket = self.users.entry(user).or_default();
        if bucket.ready_at(limits::CONNECTIONS) > now {
            return Err(NoPlace::TooSoon);
        }
        bucket.take(limits::CONNECTIONS, 1, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: Monotonic = Monotonic(1_000_000_000_000);

    #[test]
    fn who_connects_too_often_is_turned_away_and_others_are_not() {
        let mut accepted = Accepted::default();
        let mut at_once = |user, now| {
            (0..1000)
                .filter(|_| accepted.note(user, now).is_ok())
                .count()
        };
        assert_eq!(at_once(Some(1), START), 101);
        assert_eq!(at_once(Some(2), START), 101);
        // However much it has tried, it is not punished.
        assert_eq!(at_once(Some(1), START + Duration::from_millis(100)), 50);
        for user in 0..5000 {
            let now = START + Duration::from_secs(u64::from(user));
            assert!(accepted.note(Some(user), now).is_ok());
        }
        assert!(accepted.users.len() <= USERS);
    }
}
