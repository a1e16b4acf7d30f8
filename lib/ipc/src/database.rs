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
    /// Whether the database in use comes from the previous core.
    #[serde(default)]
    pub inherited: bool,
}
