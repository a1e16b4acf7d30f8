// SPDX-License-Identifier: GPL-3.0-or-later
//! How many cases a property test plays that is too slow for the usual number of them.

/// How many cases proptest plays if nothing else is said.
const USUAL: u32 = 256;

/// As many as `count`, or so many times as many as `PROPTEST_CASES` has of the usual number: a test
/// that names its own number would not heed the variable.
#[must_use]
pub fn cases(count: u32) -> u32 {
    // proptest itself tells of a variable that is not a number.
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let wanted: Option<u32> = wanted.and_then(|text| text.parse().ok());
    count.saturating_mul(wanted.unwrap_or(USUAL)) / USUAL
}
