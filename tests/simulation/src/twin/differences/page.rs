// SPDX-License-Identifier: GPL-3.0-or-later
//! The page of differences, docs/reference/differences.md.

use super::{Written, all};

/// How the page begins.
const INTRODUCTION: &str = include_str!("../../../differences/introduction.md");

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut before = "";
    for difference in all() {
        let Written::Page { section, text } = difference.written else {
            continue;
        };
        if section != before {
            page += &format!("\n## {section}\n");
            before = section;
        }
        page += "\n";
        page += text;
    }
    page
}
