// SPDX-License-Identifier: GPL-3.0-or-later
//! How often one user, and all users together, may do something. There is no clock and no waiting
//! in here.

use std::collections::HashMap;

use connect_ipc::clock::Monotonic;

use crate::endpoints::access::Owner;
use crate::endpoints::limits;
use crate::endpoints::rate::Bucket;

/// How many users are remembered before those who do nothing are forgotten.
const USERS: usize = 1024;

/// What one user has used.
#[derive(Clone, Copy, Debug, Default)]
struct Had {
    own: Bucket,
    /// The part that does not depend on others.
    first: Bucket,
}

/// What each user has used.
#[derive(Debug, Default)]
struct Users(HashMap<Option<u32>, Had>);

impl Users {
    /// What this user has used.
    fn of(&mut self, user: Option<u32>, now: Monotonic) -> &mut Had {
        if self.0.len() >= USERS {
            self.0
                .retain(|_, had| !had.own.is_at_rest(now) || !had.first.is_at_rest(now));
        }
        self.0.entry(user).or_default()
    }
}

/// When messages of users who are not trusted may be read.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    all: Bucket,
    users: Users,
}

impl Pacer {
    /// Takes a slot for one message of a user, and returns its time.
    pub(super) fn slot(&mut self, user: Option<u32>, now: Monotonic) -> Monotonic {
        let sent = self.users.of(user, now);
        let mut at = sent.own.ready_at(limits::MESSAGES);
        sent.own.take(limits::MESSAGES, 1, now);
        let is_first = sent.first.ready_at(limits::FIRST_MESSAGES) <= now;
        if is_first {
            sent.first.take(limits::FIRST_MESSAGES, 1, now);
        } else {
            at = at.max(self.all.ready_at(limits::ALL_MESSAGES));
        }
        self.all.take(limits::ALL_MESSAGES, 1, now);
        at
    }

    /// A user does not use its slot, which is in the future.
    pub(super) fn give_back(&mut self, user: Option<u32>) {
        self.all.give_back(limits::ALL_MESSAGES);
        if let Some(sent) = self.users.0.get_mut(&user) {
            sent.own.give_back(limits::MESSAGES);
        }
    }

    /// A user has caused this many bytes of work, or a connection.
    pub(super) fn charge(&mut self, user: Option<u32>, bytes: usize, now: Monotonic) {
        let messages = bytes / limits::BYTES_A_MESSAGE;
        let sent = self.users.of(user, now);
        sent.own.take(limits::MESSAGES, messages, now);
    }
}

/// How many events may be delivered.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    all: Bucket,
    users: Users,
}

impl Deliveries {
    /// How many more the owner of a connection may get now.
    pub(super) fn left(&self, owner: Owner, now: Monotonic) -> usize {
        let Owner::Other(user) = owner else {
            return usize::MAX;
        };
        let got = self.users.0.get(&user).copied().unwrap_or_default();
        let own = got.own.left(limits::EVENTS, now);
        let first = got.first.left(limits::FIRST_EVENTS, now);
        own.min(self.all.left(limits::ALL_EVENTS, now).max(first))
    }

    /// This many were delivered in one write.
    pub(super) fn delivered(&mut self, owner: Owner, events: usize, now: Monotonic) {
        let Owner::Other(user) = owner else { return };
        let count = events + limits::WRITE;
        let got = self.users.of(user, now);
        got.own.take(limits::EVENTS, count, now);
        got.first.take(limits::FIRST_EVENTS, count, now);
        self.all.take(limits::ALL_EVENTS, count, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::rate::LONGEST_WAIT;
    use std::time::Duration;

    const START: Monotonic = Monotonic(1_000_000_000_000);

    /// How many messages a user may send at once, each connection one at a time.
    fn at_once(pacer: &mut Pacer, user: u32) -> usize {
        let mut count = 0;
        while pacer.slot(Some(user), START) <= START {
            count += 1;
        }
        count
    }

    #[test]
    fn a_user_who_rested_may_send_some_messages_at_once_and_then_one_a_millisecond() {
        let mut pacer = Pacer::default();
        let count = at_once(&mut pacer, 1);
        assert!((100..=102).contains(&count), "{count}");
        let mut now = START;
        for _ in 0..1000 {
            now = now.max(pacer.slot(Some(1), now));
        }
        let millis = now.since(START).as_millis();
        assert!((995..=1005).contains(&millis), "{millis}");
    }

    #[test]
    fn all_together_are_slower_and_the_first_messages_of_a_user_do_not_wait_for_them() {
        let mut pacer = Pacer::default();
        let all: usize = (1..=20).map(|user| at_once(&mut pacer, user)).sum();
        assert!(all < 400, "{all}");
        assert!(pacer.slot(Some(1), START) > START);
        let first = at_once(&mut pacer, 21);
        assert!((10..=12).contains(&first), "{first}");
    }

    #[test]
    fn long_messages_count_as_several_and_debt_is_bounded() {
        let mut pacer = Pacer::default();
        pacer.charge(Some(1), 200 * limits::BYTES_A_MESSAGE, START);
        let at = pacer.slot(Some(1), START).since(START).as_millis();
        assert_eq!(at, 100);
        for _ in 0..100 {
            pacer.charge(Some(1), 1 << 30, START);
        }
        let at = pacer.slot(Some(1), START).since(START);
        assert!(at <= LONGEST_WAIT, "{at:?}");
    }

    #[test]
    fn slots_that_are_not_used_are_for_others() {
        let mut pacer = Pacer::default();
        at_once(&mut pacer, 1);
        at_once(&mut pacer, 2);
        let before = pacer.slot(Some(2), START);
        pacer.give_back(Some(2));
        for _ in 0..5000 {
            pacer.slot(Some(1), START);
            pacer.give_back(Some(1));
        }
        assert_eq!(pacer.slot(Some(2), START), before);
    }

    #[test]
    fn users_at_rest_are_forgotten() {
        let mut pacer = Pacer::default();
        for user in 0..5000 {
            let now = START + Duration::from_millis(100 * u64::from(user));
            pacer.slot(Some(user), now);
        }
        assert!(pacer.users.0.len() <= USERS, "{}", pacer.users.0.len());
    }

    #[test]
    fn a_user_gets_so_many_events_a_second_and_trusted_ones_all() {
        let mut deliveries = Deliveries::default();
        let owner = Owner::Other(Some(1));
        let left = deliveries.left(owner, START);
        assert_eq!(left, 10_000);
        deliveries.delivered(owner, left, START);
        assert_eq!(deliveries.left(owner, START), 0);
        let later = START + Duration::from_millis(101);
        assert!((2000..2020).contains(&deliveries.left(owner, later)));
        assert_eq!(deliveries.left(Owner::Other(Some(2)), START), 10_000);
        deliveries.delivered(Owner::Trusted, 1_000_000, START);
        assert_eq!(deliveries.left(Owner::Trusted, START), usize::MAX);
        for user in 2..5 {
            deliveries.delivered(Owner::Other(Some(user)), 10_000, START);
        }
        // A user who has had none still gets its first events.
        let late = Owner::Other(Some(6));
        assert_eq!(deliveries.left(late, START), 2_000);
        deliveries.delivered(late, 2_000, START);
        assert_eq!(deliveries.left(late, START), 0);
    }
}
