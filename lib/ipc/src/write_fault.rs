// SPDX-License-Identifier: GPL-3.0-or-later
//! A file of the service's own that cannot be written.

use serde::{Deserialize, Serialize};

/// The state file or the journal of runs cannot be written, so a restart loses what is in no other
/// place.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct WriteFault {
    /// Why not, with the remedy.
    pub fault: String,
    /// Seconds since that was found.
    pub seconds: u64,
}
