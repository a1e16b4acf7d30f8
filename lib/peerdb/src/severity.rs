// SPDX-License-Identifier: GPL-3.0-or-later
//! How bad something is that was found in a source or a database.

use std::fmt;

use serde::Serialize;

/// How bad something is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something will not work. A source with an error gives no whole database.
    Error,
    /// Something works, but hardly as it was meant.
    Warning,
    /// Something may be as it was meant, but is worth a look.
    Hint,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ordered_and_named() {
        assert!(Severity::Error < Severity::Warning && Severity::Warning < Severity::Hint);
        let names = [Severity::Error, Severity::Warning, Severity::Hint]
            .map(|severity| severity.to_string());
        assert_eq!(names, ["error", "warning", "hint"]);
    }
}
