// SPDX-License-Identifier: GPL-3.0-or-later
//! Which peers core, or the core before it, may know to have been at the server before it was
//! connected. If the server does not list them, nobody has seen why they were removed. And which
//! peers are to come back for a core whose state is older than their return.

use std::collections::BTreeSet;

use super::Moment;
use super::unwritten::Unwritten;
use crate::instant::Instant;
use crate::plan::{Fault, Kept, Part};
use crate::seen::Seen;

/// The peers that may be missed.
#[derive(Debug, Default)]
pub(super) struct Missed {
    names: BTreeSet<String>,
    /// Those that core has seen removed.
    removed: Unwritten,
    /// Those that have come back.
    returned: Unwritten,
    /// Those of them that the state of the next core may say are to come back.
    pub(super) coming: BTreeSet<String>,
    /// Whether the next core finds another state than the last one, which may have any peer.
    is_other: bool,
    /// Whether it finds none, and so can miss nobody.
    is_lost: bool,
}

impl Missed {
    /// Takes in what happens to core and to the host.
    pub(super) fn see(&mut self, now: &Moment<'_>) {
        self.removed.see(now);
        self.returned.see(now);
        match now.seen {
            Seen::Fault(Fault::Kill { state, .. }) => match state {
                // It replaces a kill that has not come about yet: the state is there after all, and
                // may be one from before.
                Kept::Last => self.is_other |= std::mem::take(&mut self.is_lost),
                Kept::None => self.is_lost = true,
                _ => self.is_other = true,
            },
            Seen::Died(Part::Core) if now.records.keeps_state && !self.is_lost => {
                self.names.extend(self.removed.take(now.at));
                self.coming.extend(self.returned.take(now.at));
            }
            Seen::Died(Part::Core) | Seen::Fault(Fault::Reboot {}) => {
                *self = Missed {
                    is_lost: true,
                    ..Missed::default()
                }
            }
            // Another server is not asked for the peers of the one before.
            Seen::Lives(Part::Server, _) => {
                self.names.clear();
                self.removed.clear();
            }
            _ => {}
        }
    }

    /// Core has seen that a peer was removed.
    pub(super) fn removed(&mut self, peer: &str, at: Instant) {
        self.names.remove(peer);
        self.removed.changed(peer, at);
    }

    /// The server has answered the `KILL` of a peer. Until it also tells that the peer was removed,
    /// core does not know that.
    pub(super) fn killed(&mut self, peer: &str) {
        self.names.insert(peer.to_owned());
    }

    /// A peer has come back.
    pub(super) fn returned(&mut self, peer: &str, at: Instant) {
        self.returned.changed(peer, at);
    }

    /// The server has a peer.
    pub(super) fn added(&mut self, peer: &str) {
        self.names.remove(peer);
    }

    /// The connection is lost. Core knew these peers to be at the server.
    pub(super) fn lost<'a>(&mut self, known: impl Iterator<Item = &'a String>) {
        if !self.is_lost {
            self.names.extend(known.cloned());
        }
    }

    /// The server has listed its peers. Gives those of `all` that it may miss.
    pub(super) fn listed<'a>(
        &mut self,
        all: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<&'a String> {
        let missed = std::mem::take(&mut self.names);
        let is_other = std::mem::take(&mut self.is_other);
        self.is_lost = false;
        all.filter(|name| is_other || missed.contains(*name))
            .collect()
    }
}
