// SPDX-License-Identifier: GPL-3.0-or-later
//! How long what is due may take before it is told, and what no load explains.

use std::time::Duration;

/// How long after it was due something counts as overdue. Orders come before they are due and
/// answers within milliseconds, so five seconds are beyond any load; and the fastest result that
/// is usual, five attempts of a second, takes as long.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long a helper may be silent or missing before it is ended and started again: as long as the
/// watchdog of its unit gives it.
pub(super) const RESTART_AFTER: Duration = Duration::from_secs(30);

/// How late core may be for its own deadline, the server for the timeout that it was given, and
/// each answer: load delays them by less, so whoever takes longer stood still.
pub(super) const STANDSTILL: Duration = Duration::from_secs(1);

/// How many timeouts of a peer in a row may not count because something stood still. A server that
/// is always late would hide a dead peer otherwise.
pub(super) const MAX_VOIDS: u8 = 3;

/// How long a server that is connected may take to answer at a start without `--server-wait`.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long that server may take at least, however late it was connected, and from its last line
/// on.
pub(super) const ANSWER_LEAST: Duration = Duration::from_secs(2);
