// SPDX-License-Identifier: GPL-3.0-or-later
//! What core tells an operator about a script that was requested.

use serde::{Deserialize, Serialize};

use crate::scripts::{Command, Ended, ScriptKind, Stream};

/// What happens to a script that was requested.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunProgress {
    /// It waits. This is sent once, after it was ordered.
    Waiting(WaitsFor),
    /// It was started.
    Started {
        /// Its process number.
        pid: i32,
    },
    /// It wrote a line.
    Output {
        /// Where.
        stream: Stream,
        /// The line.
        line: String,
    },
    /// It has ended.
    Ended(Ended),
}

/// What a script that was requested waits for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// Another script of the peer has to end first. Further ones may come after that one.
    Run {
        /// Which script.
        script: ScriptKind,
        /// Its process number; `None` if it waits itself.
        pid: Option<i32>,
        /// Seconds since it was started, or ordered.
        seconds: u64,
    },
    /// As many scripts as are allowed are under way.
    Place {},
}

/// What a script would execute.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ScriptPlan {
    /// The command.
    pub command: Command,
    /// Variables that are set in addition to the script helper's own environment.
    pub environment: Vec<(String, String)>,
    /// Seconds that it may take; `None` for no limit.
    pub limit: Option<u32>,
}
