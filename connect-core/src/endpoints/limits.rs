// SPDX-License-Identifier: GPL-3.0-or-later
//! How many places, and how much time and memory, operators and observers may use. Helpers have no
//! limits here, since they are part of the service.

use std::time::Duration;

use crate::endpoints::places::Allotment;
use crate::endpoints::rate::Rate;
use crate::endpoints::unanswered::Load;

/// Places on the observers' socket, which everybody may use. Each costs a task and its buffers.
pub(super) const OBSERVERS: Allotment = Allotment {
    all: 256,
    others: 192,
    each: 32,
};

/// Places on the control socket, which one group may use.
pub(super) const OPERATORS: Allotment = Allotment {
    all: 128,
    others: 112,
    each: 32,
};

/// The longest line before the hello: a hello has about 60 bytes.
pub(super) const HELLO: usize = 1024;

/// The longest request: the longest useful one, a filter that names 64 peers, needs a quarter.
pub(super) const LINE: usize = 64 * 1024;

/// How many malformed messages one connection may send: a person who types makes fewer mistakes.
pub(super) const MALFORMED: usize = 16;

/// How many requests that only look may be unanswered on one connection before its next one is
/// read. Subscriptions that have been sent the state count as answered. Each answer may be as long
/// as a message, so with more of them even a connection that reads could leave too much unread.
pub(super) const LOOKING: usize = 1;

/// The same for commands, which may wait for peers or scripts and have short answers.
pub(super) const COMMANDING: usize = 64;

/// Unanswered commands of one user, over all connections. Most have less than 100 bytes.
pub(super) const COMMANDS: Load = Load {
    commands: 256,
    bytes: 256 * 1024,
};

/// Unanswered commands of all users.
pub(super) const ALL_COMMANDS: Load = Load {
    commands: 1024,
    bytes: 1024 * 1024,
};

/// Unread bytes after which an observer's connection is closed.
pub(super) const OBSERVER_BACKLOG: usize = 2 * 1024 * 1024;

/// Unread bytes after which an operator's connection is closed.
pub(super) const OPERATOR_BACKLOG: usize = 4 * 1024 * 1024;

/// Unread bytes of all who are not trusted.
pub(super) const ACCOUNT: usize = 48 * 1024 * 1024;

/// Unread bytes beyond which a subscriber loses events: about five thousand events. This is far
/// below the limit at which the connection is closed, so that a slow subscriber is not
/// disconnected.
pub(super) const EVENTS_UNREAD: usize = 512 * 1024;

/// How many messages of clients wait for core's loop, which takes at most this many in one turn. A
/// connection that finds no slot is not read.
pub(super) const SLOTS: usize = 16;

/// How many messages of one user core reads.
pub(super) const MESSAGES: Rate = Rate::per_second(1_000, Duration::from_millis(100));

/// How many messages of one user core reads without regard to [`ALL_MESSAGES`], so that a user
/// with few messages does not wait for those of others.
pub(super) const FIRST_MESSAGES: Rate = Rate::per_second(20, Duration::from_millis(500));

/// How many messages of all users together core reads.
pub(super) const ALL_MESSAGES: Rate = Rate::per_second(4_000, Duration::from_millis(25));

/// How many connections of one user core accepts. It refuses more, which takes a few system calls
/// for each, as many as the client needs to connect.
pub(super) const CONNECTIONS: Rate = Rate::per_second(500, Duration::from_millis(200));

/// How many connections are accepted on each socket before other work is done.
pub(super) const ACCEPTED: usize = 32;

/// This many bytes of a request or an answer count as one more message.
pub(super) const BYTES_A_MESSAGE: usize = 2 * 1024;

/// How often the same problem with helpers or with accepting connections is logged. A helper of
/// another version connects again every two seconds, one of the wrong user every 15 seconds.
pub(super) const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// This processor time for a request counts as one more message. With [`MESSAGES`] a user gets a
/// twentieth of a processor.
const WORK_A_MESSAGE: Duration = Duration::from_micros(50);

/// How many bytes of an answer cost as much as the processor time `work`.
pub(super) fn bytes_for(work: Duration) -> usize {
    let messages = work.as_micros() / WORK_A_MESSAGE.as_micros();
    usize::try_from(messages).map_or(usize::MAX, |it| it.saturating_mul(BYTES_A_MESSAGE))
}

/// How many bytes of an answer cost as much as reading the database, which is not done while the
/// request is handled: a user may have it read five times a second.
pub(super) const BYTES_A_RELOAD: usize = 200 * BYTES_A_MESSAGE;

/// How many events core delivers to one user.
pub(super) const EVENTS: Rate = Rate::per_second(20_000, Duration::from_millis(500));

/// How many events core delivers to one user without regard to [`ALL_EVENTS`].
pub(super) const FIRST_EVENTS: Rate = Rate::per_second(4_000, Duration::from_millis(500));

/// How many events core delivers to all users together.
pub(super) const ALL_EVENTS: Rate = Rate::per_second(60_000, Duration::from_millis(500));

/// Writing the events of one turn, even a single one, costs as much as this many events.
pub(super) const WRITE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_as_messages() {
        assert_eq!(bytes_for(Duration::from_micros(49)), 0);
        assert_eq!(bytes_for(Duration::from_micros(50)), BYTES_A_MESSAGE);
        assert_eq!(bytes_for(Duration::from_millis(10)), 200 * BYTES_A_MESSAGE);
    }
}
