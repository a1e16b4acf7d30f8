// SPDX-License-Identifier: GPL-3.0-or-later
//! What is to happen later, ordered by time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::jobs::JobKey;
use super::peer::PeerKey;
use super::{Now, Output, Server};

/// Something that happens when its time has come.
#[derive(Clone, Debug)]
pub(super) enum Timer {
    /// A ping has waited long enough.
    PingTimeout(JobKey),
    /// A reflecting peer's answer to a ping arrives.
    ReflectedPong(JobKey),
    /// The resolver answers, or its time is up.
    Resolved(JobKey),
    /// Key exchange with a peer is tried again.
    KxRetry(PeerKey),
    /// A reflecting peer's answer in key exchange arrives.
    ReflectedKx(PeerKey),
    /// A peer may need a packet to keep its path open.
    Keepalive(PeerKey),
    /// A delayed datagram goes out.
    Transmit(SocketAddr, Vec<u8>),
}

/// Names a timer so that it can be taken back.
pub(super) type TimerId = (Now, u64);

/// All timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    pending: BTreeMap<TimerId, Timer>,
    /// Keeps timers of one instant in the order of their making.
    count: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Now, timer: Timer) -> TimerId {
        self.count += 1;
        let id = (at, self.count);
        self.pending.insert(id, timer);
        id
    }

    pub(super) fn cancel(&mut self, id: Option<TimerId>) {
        if let Some(id) = id {
            self.pending.remove(&id);
        }
    }

    pub(super) fn next(&self) -> Option<Now> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }

    /// The oldest timer that is due and was set no later than the `newest`th.
    fn take_due(&mut self, now: Now, newest: u64) -> Option<Timer> {
        let entry = self.pending.first_entry()?;
        let (at, count) = *entry.key();
        (at <= now && count <= newest).then(|| entry.remove())
    }
}

/// How many delayed datagrams are held; more are lost, as in a full queue of a router.
const MAX_DELAYED: usize = 65_536;

impl Server {
    /// Sets a timer `after` from now.
    pub(super) fn set_timer(&mut self, after: Duration, timer: Timer) -> TimerId {
        self.timers.set(self.now + after, timer)
    }

    /// Runs what is due. A timer set meanwhile waits for the next call even if it is due already,
    /// so that timers that set each other cannot hold up everything else.
    pub(super) fn run_timers(&mut self) {
        let newest = self.timers.count;
        while let Some(timer) = self.timers.take_due(self.now, newest) {
            match timer {
                Timer::PingTimeout(job) => self.ping_timeout(job),
                Timer::ReflectedPong(job) => self.reflected_pong(job),
                Timer::Resolved(job) => self.resolved(job),
                Timer::KxRetry(peer) => self.kx_retry(peer),
                Timer::ReflectedKx(peer) => self.reflected_kx(peer),
                Timer::Keepalive(peer) => self.keepalive(peer),
                Timer::Transmit(to, bytes) => {
                    self.delayed -= 1;
                    self.out.push(Output::Datagram(to, bytes));
                }
            }
            if self.stopping {
                return;
            }
        }
    }

    /// Sends `bytes` after a while.
    pub(super) fn transmit_later(&mut self, after: Duration, to: SocketAddr, bytes: Vec<u8>) {
        if self.delayed < MAX_DELAYED {
            self.delayed += 1;
            self.set_timer(after, Timer::Transmit(to, bytes));
        }
    }
}
