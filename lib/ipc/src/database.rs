// SPDX-License-Identifier: GPL-3.0-or-later
//! What operators see of the peer database in use.

use serde::{Deserialize, Serialize};

/// The peer database in use.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseStatus {
    /// Its file.
    pub path: String,
    /// The SHA-256 of the file in use, in hexadecimal digits as sha256sum(1) prints it; `None` if
    /// the database in use was not read from the file.
    #[serde(default)]
    pub checksum: Option<String>,
    /// When that file was last written, in seconds since 1970.
    #[serde(default)]
    pub modified: Option<u64>,
    /// Peers it holds.
    pub peers: u64,
    /// Why the present file is not in use, if it is not.
    pub fault: Option<String>,
    /// Where the database in use comes from.
    pub origin: DatabaseOrigin,
}

/// Where the database in use comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseOrigin {
    /// From nowhere: none could be read since the service started, and the previous core has left
    /// none. No peer has a record.
    #[default]
    None,
    /// It was read from the file.
    File,
    /// The previous core has saved it, since the file cannot be used.
    Kept,
}
