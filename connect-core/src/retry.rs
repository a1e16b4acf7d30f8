// SPDX-License-Identifier: GPL-3.0-or-later
//! When core tries to connect to a lost server again. Nothing here reads a clock, so that it can be
//! tested in simulated time.

use std::time::Duration;

use connect_ipc::clock::Monotonic;

/// The first pause before a lost server is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// The longest pause before a lost server is tried again, and the time for which a connection must
/// last for the pauses to begin again.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// How long core waits before it connects again. The pause grows until a connection has lasted for
/// some time: a server that accepts connections and closes each, with or without a line before, is
/// tried as rarely as one that does not run.
#[derive(Debug)]
pub struct Retry {
    pause: Duration,
    /// When the present connection was made.
    connected: Option<Monotonic>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry::new()
    }
}

impl Retry {
    /// The pauses of a core that has not tried yet.
    #[must_use]
    pub const fn new() -> Self {
        Retry {
            pause: FIRST_RETRY,
            connected: None,
        }
    }

    /// The connection was made at `now`.
    pub const fn connected(&mut self, now: Monotonic) {
        self.connected = Some(now);
    }

    /// The connection is lost at `now`, or could not be made: when to try again.
    pub fn lost(&mut self, now: Monotonic) -> Monotonic {
        let connected = self.connected.take();
        self.pause = if connected.is_some_and(|since| since + LAST_RETRY <= now) {
            FIRST_RETRY
        } else {
            (self.pause * 2).min(LAST_RETRY)
        };
        now + self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_each_connection_is_tried_after_growing_pauses() {
        let mut retry = Retry::new();
        let start = Monotonic(1_000_000_000);
        let mut now = start;
        let mut connections = 0;
        while now < start + Duration::from_secs(10) {
            connections += 1;
            retry.connected(now);
            now = retry.lost(now + Duration::from_millis(1));
        }
        assert_eq!(connections, 8);
        assert_eq!(retry.pause, LAST_RETRY);
        now = retry.lost(now);
        assert_eq!(retry.pause, LAST_RETRY, "it cannot be reached at all");
        // This connection has lasted.
        retry.connected(now);
        now = now + LAST_RETRY;
        assert_eq!(retry.lost(now), now + FIRST_RETRY);
        assert_eq!(retry.lost(now), now + 2 * FIRST_RETRY);
    }
}
