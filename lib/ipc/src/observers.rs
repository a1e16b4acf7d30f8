// SPDX-License-Identifier: GPL-3.0-or-later
//! The connections on the observers' socket, in numbers.

use serde::{Deserialize, Serialize};

/// The connections on the observers' socket.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct ObserverCounts {
    /// Those at this moment.
    pub connected: u64,
    /// Those for which there was no place, since core started.
    pub refused: u64,
}
