// SPDX-License-Identifier: GPL-3.0-or-later
//! Whole seconds of the monotonic clock, in which it is noted what is due.

use connect_ipc::clock::Monotonic;

use super::limits::GRACE;

/// A second of the monotonic clock: the first that begins after an instant. Everything that is due
/// before it begins is overdue a [`GRACE`] later.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Second(u64);

impl Second {
    /// The one after an instant.
    pub(super) const fn after(instant: Monotonic) -> Self {
        Second(instant.0 / 1_000_000_000 + 1)
    }

    /// When all that was due before is overdue.
    pub(super) fn overdue(self) -> Monotonic {
        Monotonic(self.0.saturating_mul(1_000_000_000)) + GRACE
    }
}
