// SPDX-License-Identifier: GPL-3.0-or-later
//! A whole second of the monotonic clock. Core keeps an index of what is due, by the second.

use connect_ipc::clock::Monotonic;

use super::limits::GRACE;

/// A second of the monotonic clock. The index has what is due under the first second that begins
/// after it is due. It is overdue a [`GRACE`] after that second begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Second(u64);

impl Second {
    /// The first second that begins after `instant`.
    pub(super) const fn after(instant: Monotonic) -> Self {
        Second(instant.0 / 1_000_000_000 + 1)
    }

    /// When everything that was due before this second is overdue.
    pub(super) fn overdue(self) -> Monotonic {
        Monotonic(self.0.saturating_mul(1_000_000_000)) + GRACE
    }
}
