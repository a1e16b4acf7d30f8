// SPDX-License-Identifier: GPL-3.0-or-later
//! Knocks that the service refuses.

use serde::{Deserialize, Serialize};

/// Why a knock was refused (connect(8), "WARNINGS").
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KnockRefusal {
    /// No record has the name that the knock gives.
    UnknownPeer,
    /// The record of this name has an address: this host makes the connection.
    ActivePeer,
    /// The knock gives another tag of a public key than the record.
    TagMismatch,
}

/// The last knock that was refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct RefusedKnock {
    /// The name that it gave.
    pub peer: String,
    /// Where it came from, in the server's words.
    pub address: String,
    /// Why it was refused.
    pub reason: KnockRefusal,
    /// The tag of a public key that the record has, if the knock gives another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_tag: Option<String>,
    /// How many seconds ago.
    pub seconds: u64,
}
