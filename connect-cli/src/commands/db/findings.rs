// SPDX-License-Identifier: GPL-3.0-or-later
//! What the compiler and the checks have to say, for people and as JSON.

use std::io;

use peerdb::check::{self, Finding};
use peerdb::source::{Compilation, Diagnostic, Location};
use peerdb::{Database, Level};
use serde::Serialize;

use crate::common::Common;
use crate::output::paint::Paint;
use crate::output::text;

/// One thing that is wrong, or looks wrong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Remark {
    /// `error`, `warning` or `hint`.
    pub(crate) level: String,
    /// The source file, if it is known.
    pub(crate) file: Option<String>,
    /// The line in it, from 1; 0 for the file as a whole.
    pub(crate) line: Option<u32>,
    /// The section or peer, if it is about one.
    pub(crate) peer: Option<String>,
    /// How many more have just the same.
    pub(crate) others: usize,
    /// The key, if it is about one.
    pub(crate) key: Option<String>,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// All of it in one line.
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    severity: Level,
}

fn place(location: Option<&Location>) -> (Option<String>, Option<u32>) {
    location
        .map(|location| (location.file.display().to_string(), location.line))
        .unzip()
}

impl From<&Diagnostic> for Remark {
    fn from(diagnostic: &Diagnostic) -> Self {
        let (file, line) = place(Some(&diagnostic.location));
        Remark {
            level: diagnostic.level().to_string(),
            file,
            line,
            peer: diagnostic.section.clone(),
            others: diagnostic.others,
            key: None,
            message: diagnostic.error.to_string(),
            text: diagnostic.to_string(),
            severity: diagnostic.level(),
        }
    }
}

impl From<&Finding> for Remark {
    fn from(finding: &Finding) -> Self {
        let (file, line) = place(finding.location.as_ref());
        Remark {
            level: finding.level().to_string(),
            file,
            line,
            peer: finding.peer.clone(),
            others: finding.others,
            key: finding.key().map(str::to_owned),
            message: finding.rule.to_string(),
            text: finding.to_string(),
            severity: finding.level(),
        }
    }
}

/// What the compiler found.
pub(crate) fn of_compiler(compilation: &Compilation) -> Vec<Remark> {
    compilation.diagnostics().iter().map(Remark::from).collect()
}

/// Everything about a compilation: what the compiler found, and what the checks find.
pub(crate) fn of_compilation(compilation: &Compilation) -> Vec<Remark> {
    let mut remarks = of_compiler(compilation);
    let findings = check::compilation(compilation);
    remarks.extend(findings.iter().map(Remark::from));
    remarks
}

/// Everything that the checks find in a database.
pub(crate) fn of_database(database: &Database) -> Vec<Remark> {
    check::database(database).iter().map(Remark::from).collect()
}

/// Whether there is a remark as bad as `level` or worse.
pub(crate) fn any(remarks: &[Remark], level: Level) -> bool {
    remarks.iter().any(|remark| remark.severity <= level)
}

/// How many there are of each kind, in words.
pub(crate) fn summary(remarks: &[Remark]) -> String {
    let count = |level| remarks.iter().filter(|r| r.severity == level).count();
    text::counts(
        [
            (count(Level::Error), "error"),
            (count(Level::Warning), "warning"),
            (count(Level::Hint), "hint"),
        ],
        "nothing to complain of",
    )
}

/// Prints remarks, one line each.
pub(crate) fn print(remarks: &[Remark], common: &mut Common) -> io::Result<()> {
    for remark in remarks {
        let paint = match remark.severity {
            Level::Error => Paint::Bad,
            Level::Warning => Paint::Doubtful,
            Level::Hint => Paint::Plain,
        };
        common.out.painted(paint, &remark.text)?;
    }
    Ok(())
}

/// Prints remarks on standard error, where they do not get into the result. They begin with file
/// and line, as editors expect of a compiler.
pub(crate) fn to_stderr(remarks: &[Remark]) {
    for remark in remarks {
        crate::output::to_stderr_bare(&remark.text);
    }
}
