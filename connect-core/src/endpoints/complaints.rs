// SPDX-License-Identifier: GPL-3.0-or-later
//! What users do wrong: the first fault in a minute is logged in full, the others are counted.

use std::collections::HashMap;
use std::time::Duration;

use connect_ipc::clock::Monotonic;

/// How long further faults of a user are only counted.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// How many users are remembered. If there is one more, the oldest is forgotten.
const USERS: usize = 1024;

/// What one user has done wrong since a complaint was logged.
#[derive(Clone, Copy, Debug)]
struct Complaint {
    since: Monotonic,
    others: u64,
}

/// The complaints about all users.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    users: HashMap<Option<u32>, Complaint>,
}

impl Complaints {
    /// A user does something wrong. Returns whether to log it, and how many earlier faults were not
    /// logged.
    pub(super) fn note(&mut self, user: Option<u32>, now: Monotonic) -> Option<u64> {
        let fresh = Complaint {
            since: now,
            others: 0,
        };
        if let Some(complaint) = self.users.get_mut(&user) {
            if now < complaint.since + EVERY {
                complaint.others += 1;
                return None;
            }
            return Some(std::mem::replace(complaint, fresh).others);
        }
        if self.users.len() >= USERS {
            let oldest = self.users.iter().min_by_key(|(_, it)| it.since);
            let oldest = oldest.map(|(user, _)| *user);
            oldest.map(|oldest| self.users.remove(&oldest));
        }
        self.users.insert(user, fresh);
        Some(0)
    }

    /// A minute has passed. Returns which users have had faults after the one that was logged, and
    /// how many, and forgets them.
    pub(super) fn over(&mut self, now: Monotonic) -> Vec<(Option<u32>, u64)> {
        let over = self.users.extract_if(|_, it| it.since + EVERY <= now);
        over.filter_map(|(user, it)| (it.others > 0).then_some((user, it.others)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic(1_000_000_000_000);

    #[test]
    fn the_first_in_a_minute_is_logged_and_the_others_are_counted() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.note(Some(1), START), Some(0));
        for _ in 0..7 {
            assert_eq!(complaints.note(Some(1), START), None);
        }
        assert_eq!(complaints.note(Some(2), START), Some(0));
        assert_eq!(complaints.over(START), []);
        let later = START + EVERY;
        let mut again = Complaints {
            users: complaints.users.clone(),
        };
        assert_eq!(again.note(Some(1), later), Some(7));
        assert_eq!(complaints.over(later), [(Some(1), 7)]);
        assert_eq!(complaints.note(Some(1), later), Some(0));
    }

    #[test]
    fn only_so_many_users_are_remembered() {
        let mut complaints = Complaints::default();
        for user in 0..3000 {
            let at = START + Duration::from_millis(user);
            assert_eq!(complaints.note(u32::try_from(user).ok(), at), Some(0));
        }
        assert_eq!(complaints.users.len(), USERS);
        assert!(complaints.users.contains_key(&Some(2999)));
    }
}
