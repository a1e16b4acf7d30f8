// SPDX-License-Identifier: GPL-3.0-or-later
//! What operators see of the peer database in use.

use serde::{Deserialize, Serialize};

/// The peer database in use.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseStatus {
    /// Its file.
    pub path: String,
    /// Peers it holds.
    pub peers: u64,
    /// Why the file as it is now is not in use, if so.
    pub fault: Option<String>,
    /// Whether the database in use is what the last core has left.
    #[serde(default)]
    pub inherited: bool,
}
