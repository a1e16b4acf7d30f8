// SPDX-License-Identifier: GPL-3.0-or-later
//! Counts what core adds because of the keys `when-dead` and `re-resolve`, for the coverage.

use std::collections::BTreeMap;
use std::time::Duration;

use connect_policy::pinging::WhenDead;

use super::Host;
use crate::instant::Instant;
use crate::world::shared::Shared;

/// A peer that is added again at once was not removed for its silence.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What core has done to peers that come back.
#[derive(Debug, Default)]
pub(crate) struct Additions {
    /// When core had each removed.
    removed: BTreeMap<String, Instant>,
    /// Those that core adds again.
    awaited: BTreeMap<String, Instant>,
}

impl Host {
    /// Core writes a line that changes peers.
    pub(crate) fn note_change<W>(&mut self, line: &[u8], shared: &mut Shared<W>) {
        let Ok(line) = std::str::from_utf8(line) else {
            return;
        };
        let words = tripe_admin::split(line.trim_end());
        let peer = words.iter().find_map(|word| self.truth.site.peer(word));
        let Some(record) = peer else { return };
        let (peer, now) = (record.name().to_owned(), shared.now);
        let comes_back = WhenDead::of(record) == WhenDead::Retry;
        match words.first().map(String::as_str) {
            Some("KILL") if comes_back => {
                self.core.additions.removed.insert(peer, now);
            }
            Some("ADD") => {
                if record.flag(connect_policy::resolving::KEY)
                    && words.iter().any(|word| word.starts_with("198.18."))
                {
                    shared.summary.coverage.of("lookup").effective += 1;
                }
                let removed = self.core.additions.removed.remove(&peer);
                let is_back = removed.is_some_and(|at| at + AT_ONCE <= now);
                if is_back && !self.truth.present.contains(&peer) {
                    let count = shared.summary.coverage.of("added again");
                    (count.planned, count.done) = (count.planned + 1, count.done + 1);
                    self.core.additions.awaited.insert(peer, now);
                }
            }
            _ => {}
        }
    }

    /// The server has added a peer.
    pub(crate) fn note_added<W>(&mut self, peer: &str, shared: &mut Shared<W>) {
        if self.core.additions.awaited.remove(peer).is_some() {
            shared.summary.coverage.of("added again").effective += 1;
        }
    }
}
