// SPDX-License-Identifier: GPL-3.0-or-later
//! What the compiler and the checks have found, for people and as JSON.

use std::io;

use connect_policy::check;
use peerdb::source::Compilation;
use peerdb::{Database, Finding, Severity};
use serde::Serialize;

use crate::common::Common;
use crate::output::paint::Paint;
use crate::output::text;

/// One thing that is wrong, or looks wrong.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Remark {
    /// `error`, `warning` or `hint`.
    pub(crate) severity: Severity,
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
}

impl From<&Finding> for Remark {
    fn from(finding: &Finding) -> Self {
        let location = finding.location.as_ref();
        Remark {
            severity: finding.severity,
            file: location.map(|location| location.file.display().to_string()),
            line: location.map(|location| location.line),
            peer: finding
                .subject
                .as_ref()
                .map(|subject| subject.name().to_owned()),
            others: finding.others,
            key: finding.key.clone(),
            message: finding.message.clone(),
            text: finding.to_string(),
        }
    }
}

/// Findings as remarks.
pub(crate) fn of(findings: &[Finding]) -> Vec<Remark> {
    findings.iter().map(Remark::from).collect()
}

/// What the compiler found.
pub(crate) fn of_compiler(compilation: &Compilation) -> Vec<Remark> {
    of(compilation.findings())
}

/// Everything about a compilation: what the compiler found, and what the checks find.
pub(crate) fn of_compilation(compilation: &Compilation) -> Vec<Remark> {
    let mut remarks = of_compiler(compilation);
    remarks.extend(of(&check::compilation(compilation)));
    remarks
}

/// Everything that the checks find in a database.
pub(crate) fn of_database(database: &Database) -> Vec<Remark> {
    of(&check::database(database))
}

/// Whether there is a remark as bad as `severity` or worse.
pub(crate) fn any(remarks: &[Remark], severity: Severity) -> bool {
    remarks.iter().any(|remark| remark.severity <= severity)
}

/// How many there are of each kind, in words.
pub(crate) fn summary(remarks: &[Remark]) -> String {
    let count = |severity| remarks.iter().filter(|r| r.severity == severity).count();
    text::counts(
        [
            (count(Severity::Error), "error"),
            (count(Severity::Warning), "warning"),
            (count(Severity::Hint), "hint"),
        ],
        "no findings",
    )
}

/// Prints remarks, one line each; on a terminal, in lines that fit there.
pub(crate) fn print(remarks: &[Remark], common: &mut Common) -> io::Result<()> {
    for remark in remarks {
        let paint = match remark.severity {
            Severity::Error => Paint::Bad,
            Severity::Warning => Paint::Doubtful,
            Severity::Hint => Paint::Plain,
        };
        common.out.sentence(paint, &remark.text, 2)?;
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
