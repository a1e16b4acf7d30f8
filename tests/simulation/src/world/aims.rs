// SPDX-License-Identifier: GPL-3.0-or-later
//! Faults that wait for their instant.

use crate::plan::{HostId, When};

/// A fault that waits.
#[derive(Debug)]
struct Aim {
    fault: usize,
    host: HostId,
    when: When,
    peer: Option<String>,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Aims(Vec<Aim>);

impl Aims {
    /// A fault begins to wait.
    pub(crate) fn add(&mut self, fault: usize, host: HostId, when: When, peer: Option<&str>) {
        self.0.push(Aim {
            fault,
            host,
            when,
            peer: peer.map(str::to_owned),
        });
    }

    /// Whether this fault still waits; it does not from now on.
    pub(crate) fn give_up(&mut self, fault: usize) -> bool {
        let before = self.0.len();
        self.0.retain(|aim| aim.fault != fault);
        self.0.len() != before
    }

    /// An instant has come: the first fault that waits for it.
    pub(crate) fn meet(&mut self, host: HostId, when: When, peer: Option<&str>) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let index = self.0.iter().position(|aim| {
            let own = aim.peer.is_none() || peer.is_none() || aim.peer.as_deref() == peer;
            (aim.host, aim.when) == (host, when) && own
        })?;
        Some(self.0.remove(index).fault)
    }
}
