// SPDX-License-Identifier: GPL-3.0-or-later
//! Colours by what they mean.

/// A meaning shown as colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Paint {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// Everything is all right.
    Good,
    /// Something should be checked.
    Doubtful,
    /// Something is wrong.
    Bad,
}

impl Paint {
    /// The text with the terminal's codes for this colour before and after it.
    pub(crate) fn apply(self, text: &str) -> String {
        let code = match self {
            Paint::Plain => return text.to_owned(),
            Paint::Heading => "1",
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
