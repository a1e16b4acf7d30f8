// SPDX-License-Identifier: GPL-3.0-or-later
//! What is in a database before it is put in order.

use crate::record::Record;
use crate::record_fault::RecordFaults;

/// A record of a kind that this crate gives no meaning to: a key that starts with `%` (reserved by
/// peers.cdb(5)), or with any character that nobody has given a meaning to yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Special {
    /// The whole key, with its first character.
    pub key: Box<[u8]>,
    /// The data, not decoded.
    pub data: Box<[u8]>,
}

/// The contents of a database before they are put in order, each list as it stands in the file.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) peers: Vec<Record>,
    pub(crate) users: Vec<(Box<str>, Box<str>)>,
    pub(crate) auto: Vec<String>,
    pub(crate) locals: Vec<Record>,
    pub(crate) specials: Vec<Special>,
    pub(crate) faults: RecordFaults,
}
