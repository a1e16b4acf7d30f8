// SPDX-License-Identifier: GPL-3.0-or-later
//! A file of the service's own that cannot be written.

use serde::{Deserialize, Serialize};

/// The state file or the journal of runs cannot be written, so a restart loses what is stored
/// nowhere else.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct WriteFault {
    /// Why not, and what to do.
    pub fault: String,
    /// Seconds since that was noticed.
    pub seconds: u64,
}
