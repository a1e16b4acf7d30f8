// SPDX-License-Identifier: GPL-3.0-or-later
//! The history of a peer's connection, as a part of its row.

use serde::{Deserialize, Serialize};

use crate::changes::RecordStanding;
use crate::event::Removal;
use crate::lookup::LookupStatus;

/// The history of a peer's connection.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct ConnectionStatus {
    /// Seconds since the peer last changed between answering and not answering, if it ever did.
    pub changed: Option<u64>,
    /// Reconnections begun since adoption.
    pub reconnects: u32,
    /// Seconds since the last of them.
    pub last_reconnect: Option<u64>,
    /// Why the server no longer has it, if it had it: as in the event `removed`, but `server` if
    /// the reason was `command` or `left`, and the connection to the server ended within two
    /// seconds after that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// Seconds for which its check, or the answer to its ping, is overdue, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<u64>,
    /// Whether the server could not send the last ping, in most cases because it has agreed on no
    /// keys with the peer (`ping-send-failed`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
    /// Seconds for which it has been added or checked without being up, if that is unusually long:
    /// over a minute, and longer than its first check may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Milliseconds until it is added, if the server does not have it and it waits for that (key
    /// `when-dead`): it did not answer, its other host has left, nobody has seen why it was
    /// removed, or it could not be added. Nothing is added while the server is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_add_ms: Option<u64>,
    /// Why the last attempt to add it failed, if it did: a code and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_failure: Option<Vec<String>>,
    /// The lookups of its host name, if its record has `re-resolve` and the peer is or was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Box<LookupStatus>>,
    /// How the peer differs from the database, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordStanding>,
}
