// SPDX-License-Identifier: GPL-3.0-or-later
//! Single faults in a database whose file is sound: what was left out or repaired.

use crate::text::{Name, Value};

/// One fault in a record of a database. The rest of the database is not affected.
///
/// Names and keys are given as they stand, with what is not UTF-8 replaced.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// A peer's name is empty or not UTF-8; the record is left out.
    #[error("a peer's name is not usable ({name:?}), so the peer is left out: rename its section")]
    PeerName {
        /// The name.
        name: Name,
    },
    /// A second record for the same peer; the first counts.
    #[error("peer {peer} has more than one record, and the first one counts: compile again")]
    DuplicatePeer {
        /// The peer's name.
        peer: Name,
    },
    /// A pair without `=`; it is left out.
    #[error("the record of {peer} has {text} without a value, which is left out: compile again")]
    NoEquals {
        /// The peer's name.
        peer: Name,
        /// The pair.
        text: Value,
    },
    /// A pair without a key; it is left out.
    #[error(
        "the record of {peer} has the value {text} without a key, which is left out: compile \
         again"
    )]
    NoKey {
        /// The peer's name.
        peer: Name,
        /// The value.
        text: Value,
    },
    /// A `%` without two hexadecimal digits after it; the `%` is taken as itself.
    #[error(
        "key {key} of {peer} has a % without two hexadecimal digits after it, which is taken as \
         it stands: write it as %25, or compile again"
    )]
    BrokenEscape {
        /// The peer's name.
        peer: Name,
        /// The key.
        key: Name,
    },
    /// A key or value that is not UTF-8; the pair is left out.
    #[error("key {key} of {peer} is not UTF-8 and is left out: correct it and compile again")]
    NotUtf8 {
        /// The peer's name.
        peer: Name,
        /// The key.
        key: Name,
    },
    /// A key that stands in a record more than once; its last value counts.
    #[error("key {key} of {peer} is there more than once, and the last one counts: compile again")]
    DuplicateKey {
        /// The peer's name.
        peer: Name,
        /// The key.
        key: Name,
    },
    /// A user's name or peer is empty or not UTF-8; the user is left out.
    #[error(
        "the record of user {user:?} names no usable peer, so the user is left out: compile \
         again"
    )]
    User {
        /// The user's name.
        user: Name,
    },
    /// A second record for the same user; the first counts.
    #[error(
        "user {user} has more than one record, and the first one counts: let only one peer's \
         section name this user"
    )]
    DuplicateUser {
        /// The user's name.
        user: Name,
    },
    /// The list of automatic peers is not UTF-8; it is left out.
    #[error("the list of peers to add at start-up is not UTF-8 and is left out: compile again")]
    Auto,
    /// A second list of automatic peers; the first counts.
    #[error(
        "there is more than one list of peers to add at start-up; the first counts: compile \
         again"
    )]
    DuplicateAuto,
    /// A record that is there but that no look-up finds; it is left out.
    #[error("the record {key:?} is not in the file's index, so it is left out: compile again")]
    NotIndexed {
        /// The record's key, with the letter that tells its kind.
        key: Name,
    },
}

impl RecordFault {
    /// The peer that has the fault, if it is a peer's.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        match self {
            RecordFault::PeerName { name: peer }
            | RecordFault::DuplicatePeer { peer }
            | RecordFault::NoEquals { peer, .. }
            | RecordFault::NoKey { peer, .. }
            | RecordFault::BrokenEscape { peer, .. }
            | RecordFault::NotUtf8 { peer, .. }
            | RecordFault::DuplicateKey { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// The key that has the fault, if it is one key's.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            RecordFault::BrokenEscape { key, .. }
            | RecordFault::NotUtf8 { key, .. }
            | RecordFault::DuplicateKey { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// The faults met so far, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct RecordFaults {
    list: Vec<RecordFault>,
    omitted: usize,
}

impl RecordFaults {
    /// How many faults are kept. Nobody reads more, and a hostile file could hold millions.
    const KEPT: usize = 1000;

    pub(crate) fn push(&mut self, fault: RecordFault) {
        if self.list.len() < Self::KEPT {
            self.list.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// The faults kept, and the number of those that are not.
    pub(crate) fn finish(self) -> (Box<[RecordFault]>, usize) {
        (self.list.into(), self.omitted)
    }
}
