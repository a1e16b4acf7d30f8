// SPDX-License-Identifier: GPL-3.0-or-later
//! One number for a whole run: equal runs have the same.

use tripe_lab::rng::checksum;

use crate::instant::Instant;
use crate::plan::HostId;
use crate::world::Digesting;

/// The sum so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    sum: u64,
    kind: Digesting,
}

impl Digest {
    /// Nothing has happened yet.
    pub(crate) const fn new(kind: Digesting) -> Self {
        Digest { sum: 0, kind }
    }

    /// The sum.
    pub(crate) const fn sum(self) -> u64 {
        self.sum
    }

    /// Whether lines count.
    pub(crate) fn has_lines(self) -> bool {
        self.kind != Digesting::Off
    }

    /// Whether every input and output counts.
    pub(crate) fn has_everything(self) -> bool {
        self.kind == Digesting::Everything
    }

    /// Adds bytes that somebody said.
    pub(crate) fn add(&mut self, at: Instant, host: HostId, who: u64, bytes: &[u8]) {
        let key = self
            .sum
            .wrapping_add(at.0)
            .rotate_left(17)
            .wrapping_add(who << 8 | u64::from(host.0));
        self.sum = checksum(key, bytes);
    }

    /// Adds something as it shows itself.
    pub(crate) fn debug(&mut self, at: Instant, host: HostId, what: &dyn std::fmt::Debug) {
        self.add(at, host, 0, format!("{what:?}").as_bytes());
    }
}
