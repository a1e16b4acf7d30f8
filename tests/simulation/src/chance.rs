// SPDX-License-Identifier: GPL-3.0-or-later
//! Draws that are keyed by what they are about. None comes from a common stream, so that a fault
//! that is removed from a plan shifts nothing else.

use tripe_lab::rng::{Rng, checksum};

use crate::plan::HostId;

/// What a draw is about. A number is never given to another purpose, so that plans that are kept
/// stay what they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum What {
    /// The site of a plan.
    Site = 1,
    /// The faults of a plan.
    Faults = 2,
    /// The seed of a lab server.
    Server = 3,
    /// The delay of a message between processes of a host.
    Message = 4,
    /// The delay of bytes on an admin connection.
    Wire = 5,
    /// How long it takes to write the state file.
    Disk = 6,
    /// What a script does.
    Habit = 7,
    /// What happens to a datagram.
    Datagram = 8,
    /// How long a process takes to start.
    Start = 9,
    /// How long a child takes.
    Child = 10,
    /// Whether it is certain which run of the server a connection is to.
    Run = 11,
    /// What a client does.
    Client = 12,
    /// What an operator or observer does.
    Operator = 13,
    /// Which peers are looked up by name, and which are added again.
    Follow = 14,
    /// How long a lookup of a name takes.
    Lookup = 15,
    /// Whose scripts hang.
    Hang = 16,
}

/// All draws of a run.
#[derive(Clone, Copy, Debug)]
pub struct Chances(u64);

impl Chances {
    /// Those of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Chances(seed)
    }

    /// Numbers for the `b`-th event of the kind `a` of a purpose at a host.
    #[must_use]
    pub fn of(&self, what: What, host: HostId, a: u64, b: u64) -> Rng {
        let mut key = [0; 32];
        let words = [what as u64, u64::from(host.0), a, b];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Rng::new(checksum(self.0, &key))
    }
}
