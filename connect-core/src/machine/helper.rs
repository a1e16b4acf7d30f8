// SPDX-License-Identifier: GPL-3.0-or-later
//! A helper's connection as the machine sees it: there is at most one helper of each kind. A second
//! one is refused as long as the first is connected, and retries by itself.

use std::time::Duration;

use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::hello::Role;

use super::input::ConnectionId;
use super::limits::{GRACE, RESTART_AFTER};

/// How often the time for connecting doubles: up to eight minutes.
const MOST_DOUBLINGS: u32 = 4;

/// A helper that is connected, or is to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Helper {
    connection: Option<ConnectionId>,
    /// For operators.
    pub(super) status: HelperStatus,
    /// Whether it has said what it remembers and was told what it needs.
    ready: bool,
    /// When it last began something that takes time: when it was started, or connected, or was
    /// ready; or when the one before was lost, or core started.
    since: Monotonic,
    /// When it was last started again, if it was.
    last_restart: Option<Monotonic>,
    /// Whether core has asked for its restart since then.
    given_up: bool,
    /// How often it was started again at core's request since one has connected.
    in_vain: u32,
}

impl Helper {
    /// A helper that is expected from `now` on.
    pub(super) fn awaited(now: Monotonic) -> Self {
        Helper {
            since: now,
            ..Helper::default()
        }
    }

    /// A helper has connected. Returns `false` if there is one already: its connection must end
    /// before another one is served.
    pub(super) fn connected(
        &mut self,
        role: Role,
        connection: ConnectionId,
        status: HelperStatus,
        now: Monotonic,
    ) -> bool {
        if self.connection.is_some() {
            return false;
        }
        tracing::info!(helper = %role, pid = status.pid, "a helper has connected");
        let connections = self.status.connections + 1;
        // Core may not have been told of its start. The first connection is no restart.
        if connections - 1 > self.status.restarts {
            self.restarted(now);
        }
        self.status = HelperStatus {
            connections,
            restarts: self.status.restarts,
            ..status
        };
        self.ready = false;
        (self.since, self.given_up, self.in_vain) = (now, false, 0);
        self.connection = Some(connection);
        true
    }

    /// Core's program has started it again; it may never connect.
    pub(super) fn restarted(&mut self, now: Monotonic) {
        self.status.restarts += 1;
        self.last_restart = Some(now);
        if self.connection.is_none() {
            self.in_vain += u32::from(self.given_up);
            (self.since, self.given_up) = (now, false);
        }
    }

    /// It cannot begin for a reason that a restart seldom changes.
    pub(super) const fn held_up(&mut self, now: Monotonic) {
        self.since = now;
        self.in_vain = MOST_DOUBLINGS;
    }

    /// How long it may take until it connects: longer with each restart that was in vain, since it
    /// may be waiting for something that no restart changes.
    pub(super) fn patience(&self) -> Duration {
        RESTART_AFTER * (1 << self.in_vain.min(MOST_DOUBLINGS))
    }

    /// What operators are told of it; `silent` is since when a message from it has been overdue.
    pub(super) fn told(&self, silent: Option<Monotonic>, now: Monotonic) -> HelperStatus {
        let seconds = |since: Monotonic| now.since(since).as_secs();
        HelperStatus {
            silent: silent.map(seconds),
            restarted: self.last_restart.map(seconds),
            ..self.status.clone()
        }
    }

    /// A connection has ended. Returns whether it was this helper's.
    pub(super) fn lost(&mut self, connection: ConnectionId, now: Monotonic) -> bool {
        if self.connection != Some(connection) {
            return false;
        }
        *self = Helper {
            status: HelperStatus {
                connections: self.status.connections,
                restarts: self.status.restarts,
                ..HelperStatus::default()
            },
            last_restart: self.last_restart,
            ..Helper::awaited(now)
        };
        true
    }

    /// Whether a message that came over `connection` counts: not if a newer helper has connected.
    pub(super) fn is_at(&self, connection: ConnectionId) -> bool {
        self.connection == Some(connection)
    }

    /// It has said what it remembers.
    pub(super) fn set_ready(&mut self, now: Monotonic) {
        self.ready = true;
        self.since = now;
    }

    /// Where to send messages, once it is ready.
    pub(super) fn ready(&self) -> Option<ConnectionId> {
        self.connection.filter(|_| self.ready)
    }

    /// When it last began something that takes time, such as to connect or to order pings.
    pub(super) const fn since(&self) -> Monotonic {
        self.since
    }

    /// Since when it should have said what it remembers, if it has not.
    pub(super) fn unready_since(&self) -> Option<Monotonic> {
        (self.connection.is_some() && !self.ready).then_some(self.since)
    }

    /// Since when it has been missing.
    pub(super) fn missing_since(&self) -> Option<Monotonic> {
        self.connection.is_none().then_some(self.since)
    }

    /// When it is overdue to connect, or to say what it remembers.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        if self.given_up || self.ready {
            return None;
        }
        let limit = match self.connection {
            Some(_) => GRACE,
            None => self.patience(),
        };
        Some(self.since + limit)
    }

    /// Asks for its restart; `false` if that was done already.
    pub(super) const fn give_up(&mut self) -> bool {
        !std::mem::replace(&mut self.given_up, true)
    }
}
