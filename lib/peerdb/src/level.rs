// SPDX-License-Identifier: GPL-3.0-or-later
//! How bad something is that was found in a source or a database.

use std::fmt;

/// How bad something is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Something will not work. A source with an error gives no whole database.
    Error,
    /// Something works, but hardly as it was meant.
    Warning,
    /// Something may be as it was meant, but is worth a look.
    Hint,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Hint => "hint",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_named() {
        assert!(Level::Error < Level::Warning && Level::Warning < Level::Hint);
        let names = [Level::Error, Level::Warning, Level::Hint].map(|level| level.to_string());
        assert_eq!(names, ["error", "warning", "hint"]);
    }
}
