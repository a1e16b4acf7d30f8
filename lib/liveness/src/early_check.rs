// SPDX-License-Identifier: GPL-3.0-or-later
//! A check that begins before it is due, since something has happened or somebody has asked.

use connect_ipc::clock::Monotonic;

use crate::liveness::Liveness;

/// A check that is to begin at once.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum EarlyCheck {
    /// Only if the peer is down: new keys are agreed, so it may answer again.
    IfDown,
    /// As any other.
    Usual,
    /// Replies count as lost until the peer has become unreachable (command `sabotage`).
    Sabotaged,
}

impl EarlyCheck {
    /// Has it begin, as [`Liveness::check_now`] or [`Liveness::sabotage`]. Returns whether there is
    /// one.
    pub fn begin(self, liveness: &mut Liveness, now: Monotonic) -> bool {
        match self {
            EarlyCheck::IfDown if liveness.phase().failed_checks == 0 => return false,
            EarlyCheck::IfDown | EarlyCheck::Usual => liveness.check_now(now),
            EarlyCheck::Sabotaged => liveness.sabotage(now),
        }
        true
    }
}
