// SPDX-License-Identifier: GPL-3.0-or-later
//! What core says about checks and answers that do not come when they are due.

use serde::{Deserialize, Serialize};

/// Whether checks and answers come when they are due.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct OverdueChecks {
    /// Seconds since the oldest check or answer that is overdue was due; `None` if none is overdue.
    pub overdue: Option<u64>,
    /// Why it is overdue.
    pub cause: Option<OverdueCause>,
    /// Seconds for which the server has sent nothing although an answer is overdue; `None` if none
    /// is overdue.
    pub server_silent: Option<u64>,
}

/// Why checks or answers are overdue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OverdueCause {
    /// The pinger is connected and does not order what is due.
    PingerSilent,
    /// There is no pinger.
    PingerMissing,
    /// The server is connected and does not answer.
    ServerSilent,
    /// The server is not connected, or the service is not claimed yet.
    ServerDown,
    /// Core itself was suspended, and makes the overdue checks now.
    HeldUp,
}
