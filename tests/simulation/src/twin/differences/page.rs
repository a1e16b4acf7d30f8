// SPDX-License-Identifier: GPL-3.0-or-later
//! The page of differences, docs/reference/differences.md.

use super::super::tolerances::ALL;
use super::{Written, all};

/// How the page begins.
const INTRODUCTION: &str = include_str!("../../../differences/introduction.md");

/// How the section about tolerances begins.
const TOLERANCES: &str = "
## What the comparison leaves out

A test plays the same occurrences to this service and to the *executable manual*, a slow service that was written from \
the manual alone, and compares what both do. The differences above are those that it lets pass, or that other tests \
show. Here is what it does not compare, and why. This section is for those who want to judge the test, or work on it; \
operators need none of it.

An *occurrence* is what others do: they add and remove peers, submit commands, change the database, do not answer, end \
the service or its server, or suspend the host. The checks of a peer are not made at the same instants by the two \
services.
";

/// The longest line of the page.
const COLUMNS: usize = 120;

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
    page += &wrapped(TOLERANCES, "");
    for tolerance in ALL {
        let (name, what, why) = (tolerance.name, tolerance.what, tolerance.why);
        page += "\n";
        page += &wrapped(&format!("- **{name}**: {what} {why}\n"), "  ");
    }
    page
}

/// A text whose lines fit. Each but the first begins with these spaces.
fn wrapped(text: &str, spaces: &str) -> String {
    let mut page = String::new();
    for line in text.lines() {
        let mut column = 0;
        for word in line.split(' ') {
            let width = word.chars().count();
            if column > 0 && column + 1 + width > COLUMNS {
                page += "\n";
                page += spaces;
                column = spaces.len();
            } else if column > 0 {
                page += " ";
                column += 1;
            }
            page += word;
            column += width;
        }
        page += "\n";
    }
    page
}
