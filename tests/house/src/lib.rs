// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of the project's own sources: how long files, functions and comments may be, which module
//! and which crate may use which other, that no files import each other in a circle, that links
//! between pages lead somewhere, that pages have what they should, and that what released versions
//! have written is read.
//!
//! Each check gives findings. The test compares them with the list of those that are known, in
//! `known.txt`: a finding that is not in the list fails, and so does one in the list that is gone.

mod cases;
mod imports;
mod links;
pub mod manual;
mod packages;
mod pages;
pub mod released;
mod sizes;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

pub use crate::cases::cases;
use crate::source::Source;

/// What the checks found: a sentence that stays the same as long as the finding does, and details.
pub type Findings = BTreeMap<String, String>;

/// Runs every check on the workspace in `root`.
///
/// # Errors
/// If a file cannot be read or parsed.
pub fn findings(root: &Path) -> anyhow::Result<Findings> {
    let sources = Source::read_all(root)?;
    let mut findings = Findings::new();
    sizes::check(&sources, &mut findings);
    imports::check(&sources, &mut findings);
    packages::check(root, &mut findings)?;
    links::check(root, &mut findings)?;
    pages::check(root, &mut findings)?;
    released::check(root, &mut findings)?;
    Ok(findings)
}

/// What differs between the findings and the list of those that are known, each in a sentence.
#[must_use]
pub fn differences(findings: &Findings, known: &str) -> Vec<String> {
    let known: Vec<&str> = known
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let new = findings
        .iter()
        .filter(|(finding, _)| !known.contains(&finding.as_str()))
        .map(|(finding, details)| format!("{finding} ({details})"));
    let gone = known
        .iter()
        .filter(|line| !findings.contains_key(**line))
        .map(|line| format!("no longer true, so remove it from tests/house/known.txt: {line}"));
    new.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_findings_and_those_that_are_gone_are_told() {
        let findings = Findings::from(["a", "b"].map(|name| (name.to_owned(), "why".to_owned())));
        assert!(differences(&findings, "# comment\n\na\nb\n").is_empty());
        assert_eq!(
            differences(&findings, "b\nc\n"),
            [
                "a (why)",
                "no longer true, so remove it from tests/house/known.txt: c"
            ]
        );
    }
}
