// SPDX-License-Identifier: GPL-3.0-or-later
//! How long something may be overdue before core reports it, and which delays cannot come from
//! load.

use std::time::Duration;

/// How long after it was due something counts as overdue. Orders come before they are due and
/// answers within milliseconds, so no load causes a delay of five seconds. With the shortest
/// `timeout` (1 s) and the default of five attempts, a check needs five seconds to find a peer
/// unreachable. So core reports what is overdue no later than such a check reports a peer.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long a helper may be silent or missing before it is ended and started again: the time of the
/// watchdog of its unit.
pub(super) const RESTART_AFTER: Duration = Duration::from_secs(30);

/// How late core may be at its own deadline, and the server with a timeout or an answer. Load
/// delays them by less, so one that is later did not run.
pub(super) const STANDSTILL: Duration = Duration::from_secs(1);

/// How many timeouts of a peer in a row may be left out because something did not run. Otherwise a
/// server that is always late would hide a peer that does not answer.
pub(super) const MAX_VOIDS: u8 = 3;

/// How long a server that is connected may take to answer at a start without `--server-wait`.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long that server may take at least, even if it was connected late, and after each of its
/// lines.
pub(super) const ANSWER_LEAST: Duration = Duration::from_secs(2);
