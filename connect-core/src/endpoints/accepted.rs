// SPDX-License-Identifier: GPL-3.0-or-later
//! How often users connect: a user who connects too often is refused, so that others do not have to
//! wait. There is no clock and no waiting in here.

use std::collections::HashMap;

use connect_ipc::clock::Monotonic;

use crate::endpoints::limits;
use crate::endpoints::places::NoPlace;
use crate::endpoints::rate::Bucket;

/// How many users are remembered before those who do nothing are forgotten.
const USERS: usize = 1024;

/// The recent connections of each user, without those that were refused.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    users: HashMap<Option<u32>, Bucket>,
}

impl Accepted {
    /// A user connects. Returns whether that is too soon.
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
    fn a_user_who_connects_too_often_is_refused_and_others_are_not() {
        let mut accepted = Accepted::default();
        let mut at_once = |user, now| {
            (0..1000)
                .filter(|_| accepted.note(user, now).is_ok())
                .count()
        };
        assert_eq!(at_once(Some(1), START), 101);
        assert_eq!(at_once(Some(2), START), 101);
        // Refused connections do not count against it.
        assert_eq!(at_once(Some(1), START + Duration::from_millis(100)), 50);
        for user in 0..5000 {
            let now = START + Duration::from_secs(u64::from(user));
            assert!(accepted.note(Some(user), now).is_ok());
        }
        assert!(accepted.users.len() <= USERS);
    }
}
