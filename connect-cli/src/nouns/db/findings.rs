// SPDX-License-Identifier: GPL-3.0-or-later
//! What the compiler and the checks have to say, for people and as JSON.

use std::io;

use peerdb::check::{self, Finding};
use peerdb::source::{Compilation, Diagnostic, Location};
use peerdb::{Database, Level};
use serde::Serialize;

use crate::context::Context;
use crate::table::Paint;

/// One thing that is wrong, or looks wrong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remark {
    /// `error`, `warning` or `hint`.
    pub level: String,
    /// The source file, if it is known.
    pub file: Option<String>,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: Option<u32>,
    /// The section or peer, if it is about one.
    pub peer: Option<String>,
    /// How many more have just the same.
    pub others: usize,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
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

impl Remark {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.severity
    }
}

/// Everything about a compilation: what the compiler found, and what the checks find.
#[must_use]
pub fn of_compilation(compilation: &Compilation) -> Vec<Remark> {
    let diagnostics = compilation.diagnostics().iter().map(Remark::from);
    let findings = check::compilation(compilation);
    diagnostics
        .chain(findings.iter().map(Remark::from))
        .collect()
}

/// Everything that the checks find in a database.
#[must_use]
pub fn of_database(database: &Database) -> Vec<Remark> {
    check::database(database).iter().map(Remark::from).collect()
}

/// Whether there is a remark as bad as `level` or worse.
#[must_use]
pub fn any(remarks: &[Remark], level: Level) -> bool {
    remarks.iter().any(|remark| remark.severity <= level)
}

/// How many there are of each kind, in words.
#[must_use]
pub fn summary(remarks: &[Remark]) -> String {
    let parts: Vec<String> = [Level::Error, Level::Warning, Level::Hint]
        .into_iter()
        .filter_map(|level| {
            let number = remarks.iter().filter(|r| r.severity == level).count();
            let plural = if number == 1 { "" } else { "s" };
            (number > 0).then(|| format!("{number} {level}{plural}"))
        })
        .collect();
    if parts.is_empty() {
        "nothing to complain of".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Prints remarks, one line each.
///
/// # Errors
/// What the system says.
pub fn print(remarks: &[Remark], context: &mut Context) -> io::Result<()> {
    for remark in remarks {
        let paint = match remark.severity {
            Level::Error => Paint::Bad,
            Level::Warning => Paint::Doubtful,
            Level::Hint => Paint::Plain,
        };
        context.out.painted(paint, &remark.text)?;
    }
    Ok(())
}

/// Tells remarks on standard error, where they do not get into the result. They begin with file and
/// line, as editors expect of a compiler.
pub fn tell(remarks: &[Remark]) {
    for remark in remarks {
        crate::error::tell_bare(&remark.text);
    }
}
