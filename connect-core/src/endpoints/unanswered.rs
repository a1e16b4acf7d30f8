// SPDX-License-Identifier: GPL-3.0-or-later
//! How many requests, of how many bytes, users may have that are not answered yet.
//!
//! ```text
//!   connection's task --Pass, with the request--> core's loop --final answer--> Pass is dropped
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::endpoints::access::Owner;

/// Commands that are not answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Load {
    pub(super) commands: usize,
    pub(super) bytes: usize,
}

impl Load {
    /// The load with one more command, if that is within the limit.
    fn with(self, bytes: usize, limit: Load) -> Option<Load> {
        let more = Load {
            commands: self.commands + 1,
            bytes: self.bytes + bytes,
        };
        (more.commands <= limit.commands && more.bytes <= limit.bytes).then_some(more)
    }

    const fn without(self, bytes: usize) -> Load {
        Load {
            commands: self.commands.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TooMany {
    OfUser(Load),
    OfAll(Load),
}

/// The sentence for the client that gave the command.
impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, Load { commands, bytes }) = match self {
            TooMany::OfUser(most) => ("this user has", most),
            TooMany::OfAll(most) => ("all users together have", most),
        };
        write!(
            f,
            "{whose} too many unanswered commands ({commands}, of {bytes} bytes in all); wait \
             for answers and try again"
        )
    }
}

/// The commands of all users that are not answered. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Unanswered {
    loads: Arc<Mutex<Loads>>,
    /// What one user may have.
    each: Load,
    /// What all may have.
    all: Load,
}

#[derive(Debug, Default)]
struct Loads {
    users: HashMap<Option<u32>, Load>,
    all: Load,
}

impl Unanswered {
    /// No command yet; the limits for each user and for all users.
    pub(super) fn new(each: Load, all: Load) -> Self {
        Unanswered {
            loads: Arc::default(),
            each,
            all,
        }
    }

    /// A user gives a command of this many bytes.
    pub(super) fn take(&self, owner: Owner, bytes: usize) -> Result<Option<Taken>, TooMany> {
        let Owner::Other(user) = owner else {
            return Ok(None);
        };
        let mut loads = self.lock();
        let own = loads.users.get(&user).copied().unwrap_or_default();
        let own = own.with(bytes, self.each);
        let own = own.ok_or(TooMany::OfUser(self.each))?;
        let all = loads.all.with(bytes, self.all);
        loads.all = all.ok_or(TooMany::OfAll(self.all))?;
        loads.users.insert(user, own);
        drop(loads);
        Ok(Some(Taken {
            unanswered: self.clone(),
            user,
            bytes,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Loads> {
        // Nothing that holds the lock can panic half-way.
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one command counts, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    unanswered: Unanswered,
    user: Option<u32>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut loads = self.unanswered.lock();
        loads.all = loads.all.without(self.bytes);
        let left = loads.users.get(&self.user).map(|it| it.without(self.bytes));
        match left {
            Some(left) if left.commands > 0 => loads.users.insert(self.user, left),
            _ => loads.users.remove(&self.user),
        };
    }
}

/// Accompanies each request to core's loop, and is dropped with the answer, so that the connection
/// may send another one.
#[derive(Debug)]
pub struct Pass {
    _of_connection: OwnedSemaphorePermit,
    _of_user: Option<Taken>,
}

impl Pass {
    pub(super) const fn new(of_connection: OwnedSemaphorePermit, of_user: Option<Taken>) -> Self {
        Pass {
            _of_connection: of_connection,
            _of_user: of_user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Owner = Owner::Other(Some(1));

    const EACH: Load = Load {
        commands: 8,
        bytes: 100,
    };

    const ALL: Load = Load {
        commands: 30,
        bytes: 300,
    };

    #[test]
    fn a_user_has_so_many_unanswered_commands_and_others_have_theirs() {
        let unanswered = Unanswered::new(EACH, ALL);
        let mut taken: Vec<_> = (0..EACH.commands)
            .map(|_| unanswered.take(OTHER, 10))
            .collect();
        assert!(taken.iter().all(Result::is_ok));
        let too_many = TooMany::OfUser(EACH);
        assert_eq!(unanswered.take(OTHER, 10).unwrap_err(), too_many);
        unanswered.take(Owner::Other(Some(2)), 10).unwrap();
        assert!(unanswered.take(Owner::Trusted, 10).unwrap().is_none());
        taken.pop();
        unanswered.take(OTHER, 10).unwrap();
        drop(taken);
        assert!(unanswered.lock().users.is_empty());
        assert_eq!(unanswered.lock().all, Load::default());
    }

    #[test]
    fn bytes_are_bounded_for_each_user_and_for_all() {
        let unanswered = Unanswered::new(EACH, ALL);
        let mut taken = Vec::new();
        let full = (1_u32..100).find_map(|user| {
            let owner = Owner::Other(Some(user));
            match unanswered.take(owner, EACH.bytes) {
                Ok(one) => taken.push(one),
                Err(why) => return Some(why),
            }
            let too_many = TooMany::OfUser(EACH);
            assert_eq!(unanswered.take(owner, 1).unwrap_err(), too_many);
            None
        });
        assert_eq!(full, Some(TooMany::OfAll(ALL)));
        assert_eq!(taken.len(), 3);
        assert_eq!(
            TooMany::OfUser(EACH).to_string(),
            "this user has too many unanswered commands (8, of 100 bytes in all); wait \
             for answers and try again"
        );
    }
}
