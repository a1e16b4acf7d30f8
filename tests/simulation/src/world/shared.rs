// SPDX-License-Identifier: GPL-3.0-or-later
//! What all hosts of a world share: time, the queue of steps, the network, and who looks on.

use std::time::Duration;

use crate::chance::Chances;
use crate::digest::Digest;
use crate::growth::Growth;
use crate::host::links::Message;
use crate::instant::Instant;
use crate::network::Network;
use crate::plan::{HostId, Plan};
use crate::promise::{Broken, Promise};
use crate::queue::{Queue, Step};
use crate::seen::{Seen, Watcher};

use super::aims::Aims;
use super::{How, Summary};

/// What is shared.
#[derive(Debug)]
pub(crate) struct Shared<W> {
    pub(crate) now: Instant,
    pub(crate) queue: Queue,
    pub(crate) chances: Chances,
    pub(crate) network: Network,
    pub(crate) watcher: W,
    pub(crate) broken: Option<Broken>,
    pub(crate) summary: Summary,
    pub(crate) growth: Growth,
    pub(crate) digest: Digest,
    pub(crate) how: How,
    pub(crate) aims: Aims,
    /// From when on everything is to settle.
    pub(crate) quiet_from: Instant,
}

impl<W: Watcher> Shared<W> {
    pub(crate) fn new(plan: &Plan, how: How, watcher: W) -> Self {
        Shared {
            now: Instant(0),
            queue: Queue::default(),
            chances: Chances::new(plan.seed),
            network: Network::new(plan),
            watcher,
            broken: None,
            summary: Summary::default(),
            growth: Growth::default(),
            digest: Digest::new(how.digest),
            how,
            aims: Aims::default(),
            quiet_from: plan.quiet_from,
        }
    }

    /// Has the watcher see something.
    #[inline]
    pub(crate) fn see(&mut self, host: HostId, seen: Seen<'_>) {
        if self.broken.is_none()
            && let Err(broken) = self.watcher.see(self.now, host, seen)
        {
            self.broken = Some(broken);
        }
    }

    /// Puts a step into the queue, to come after this time.
    pub(crate) fn after(&mut self, time: Duration, step: Step) {
        self.queue.push(self.now + time, step);
    }

    /// Something is broken in the world's own sight.
    pub(crate) fn fail(&mut self, promise: Promise, host: HostId, text: String) {
        let at = self.now;
        self.broken.get_or_insert(Broken {
            promise,
            at,
            host,
            text,
        });
    }

    /// A message does not come back as it was when it is written and read.
    pub(crate) fn fail_frame(&mut self, host: HostId, message: &Message) {
        let text = format!("a message changes when it is written and read: {message:?}");
        self.fail(Promise::Lines, host, text);
    }

    /// Adds bytes to the digest.
    #[inline]
    pub(crate) fn sum(&mut self, host: HostId, who: u64, bytes: &[u8]) {
        if self.digest.has_lines() {
            self.digest.add(self.now, host, who, bytes);
        }
    }

    /// Adds an input or output to the digest.
    #[inline]
    pub(crate) fn sum_all(&mut self, host: HostId, what: &dyn std::fmt::Debug) {
        if self.digest.has_everything() {
            self.digest.debug(self.now, host, what);
        }
    }
}
