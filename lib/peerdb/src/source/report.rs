// SPDX-License-Identifier: GPL-3.0-or-later
//! What the compiler has to say about a source, with the place and the remedy.

use std::path::Path;
use std::sync::Arc;

use crate::alike::NameDoubt;
use crate::characters::Suspect;
use crate::finding::{Fault, Finding, Findings, Location, Subject};
use crate::severity::Severity;
use crate::text::{Name, Value, one_line};

/// A line of a source file, without the file's name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// The file's number in the report.
    pub(crate) file: u32,
    /// The line, from 1; 0 for the file as a whole.
    pub(crate) line: u32,
}

/// A part of a line.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum Part {
    #[error("the section's name")]
    Name,
    #[error("the key {0}")]
    Key(Name),
    /// The value of this key.
    #[error("the value of {0}")]
    Value(Name),
    #[error("the line")]
    Line,
}

/// What is wrong with a source.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub(crate) enum SourceError {
    /// A file or directory could not be read.
    #[error("it cannot be read ({reason}): check its name and its permissions")]
    Read { reason: Name },
    /// A file is too large to be a source.
    #[error(
        "it is larger than {} MiB ({limit} bytes), the most that is read: check that it is a \
         source file", limit >> 20
    )]
    TooLarge { limit: u64 },
    /// A file has bytes that no text has.
    #[error("it {reason}, so it is not a text file and none of it is read: {remedy}")]
    NotText {
        reason: &'static str,
        remedy: &'static str,
    },
    /// A file in a directory whose name marks it as a backup.
    #[error(
        "it is skipped, since {mark} in its name marks a backup: remove it, or rename it if it is \
         a source"
    )]
    Backup {
        mark: Name,
        /// Whether what it is a backup of is there too.
        has_original: bool,
    },
    /// A file in a directory whose name looks like that of a copy.
    #[error(
        "it is read, although its name looks like that of a copy: if it is one, remove it, \
         otherwise rename it"
    )]
    Copy,
    /// Something in a directory that is no file.
    #[error("it is skipped, since it is {kind}: {remedy}")]
    NoFile {
        kind: &'static str,
        remedy: &'static str,
    },
    /// A link in a directory that leads to no file.
    #[error(
        "it is a link to {target}, which {fault}, so its peers would be missing: remove it, or \
         correct its target"
    )]
    Dangling { target: Name, fault: &'static str },
    /// A directory has no source file in it.
    #[error("there is no source file in this directory: put one there, or name another")]
    EmptyDirectory,
    /// A line is not UTF-8.
    #[error("the line is not UTF-8: convert the file")]
    NotUtf8,
    /// A section's name is not UTF-8.
    #[error(
        "the section's name is not UTF-8, so the section is left out: convert the file, or rename \
         the section"
    )]
    NameNotUtf8,
    /// A character that cannot be seen, or that looks like another one.
    #[error("{part} has the character {suspect}: {}", suspect.remedy())]
    Character { part: Part, suspect: Suspect },
    /// A section's name looks like another one.
    #[error("{0}")]
    Alike(NameDoubt),
    /// A section header that does not end with its bracket, or has brackets inside.
    #[error("a section is written [NAME], with nothing after the bracket: correct the line")]
    BadHeader,
    /// A line that is neither header, assignment, comment nor continuation.
    #[error(
        "{text} is not an assignment: write KEY = VALUE, or begin the line with # for a \
             comment"
    )]
    NoAssignment { text: Value },
    /// An assignment without a key.
    #[error("there is no key before the {separator}: write KEY = VALUE")]
    NoKey { separator: char },
    /// An assignment before the first section.
    #[error("{key} is assigned outside any section: put a line [NAME] before it")]
    NoSection { key: Name },
    /// A line that starts with white space where no value is to be continued.
    #[error("there is no value that this line could continue: remove the white space before it")]
    NothingToContinue,
    /// A section has both `@inherit` and `@inherits`.
    #[error(
        "the section has both @inherit and @inherits: keep one, which may name several parents"
    )]
    TwoInherits,
    /// A parent that does not exist.
    #[error(
        "there is no section [{parent}] to inherit from{}: define it, or correct the name",
        meant(nearest.as_ref())
    )]
    NoParent { parent: Name, nearest: Option<Name> },
    /// A section inherits from itself.
    #[error(
        "sections inherit from each other in a circle ({}): remove one of these @inherit",
        one_line(&path.join(" from "))
    )]
    InheritanceCycle { path: Vec<String> },
    /// Several parents supply different values.
    #[error(
        "the parents disagree about {key}: {value} here, but {other_value} at {other}; assign {key} in the \
         section itself, or in only one of them"
    )]
    ParentsDisagree {
        key: Name,
        value: Value,
        other_value: Value,
        other: Location,
    },
    /// `$(KEY)` of a key that the section does not have.
    #[error(
        "$({key}) has no value{}: assign {key} in the section or a parent, or, if the $( is \
         meant for a shell, see peers.in(5)",
        meant(nearest.as_ref())
    )]
    NoValue { key: Name, nearest: Option<Name> },
    /// A value that needs itself.
    #[error("the value refers to itself ({}): remove one of these references", one_line(&path.join(" needs ")))]
    SubstitutionCycle { path: Vec<String> },
    /// Values that need each other to a great depth, or brackets in brackets.
    #[error("substitutions are nested deeper than {limit}: simplify them")]
    TooDeep { limit: usize },
    /// A value that grows beyond all reason.
    #[error(
        "the value of {key} is longer than {limit} bytes after substitution (at least {length}): \
         shorten it"
    )]
    TooLong {
        key: Name,
        length: usize,
        limit: usize,
    },
    /// A substitution without its closing bracket.
    #[error(
        "{opening} is not closed by {closing}: close it, or, if it is meant for a shell, see \
         peers.in(5)"
    )]
    Unclosed { opening: Name, closing: char },
    /// `$()` or `$[]`.
    #[error("{text} has no name: put a name between the brackets")]
    NamesNothing { text: &'static str },
    /// A host whose addresses could not be found.
    #[error(
        "no address of {host} is known ({reason}): correct the name, or write the address itself"
    )]
    Unresolved { host: Value, reason: Name },
    /// A host without an address of the right kind.
    #[error("{host} has no {family} address: ask for another kind of address, or write it itself")]
    NoAddress { host: Name, family: &'static str },
    /// A key assigned twice in a section of one file.
    #[error("{key} was assigned in this section before, at {first}: remove one of the lines")]
    Repeated { key: Name, first: Location },
    /// An indented line that looks like a comment.
    #[error(
        "the line begins with white space, so it is part of the value of {key}: if it is a \
         comment, remove the white space"
    )]
    IndentedComment { key: Name },
    /// An indented line that looks like an assignment or a header.
    #[error(
        "the line begins with white space, so it is part of the value of {key}: if {text} is a \
         line of its own, remove the white space"
    )]
    IndentedLine { key: Name, text: Name },
    /// A key starting with `@` that means nothing.
    #[error("{key} means nothing to the compiler; was {meant} meant?")]
    UnknownDirective { key: Name, meant: Name },
    /// Two peers are the same user.
    #[error(
        "the user {user} already belongs to the peer {first}: give one of the two peers another \
         user"
    )]
    UserTaken { user: Name, first: Name },
    /// `user` without a name.
    #[error("user is empty, so no user record is made: name the user, or remove the key")]
    EmptyUser,
}

fn meant(nearest: Option<&Name>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (was {name} meant?)"))
}

impl Fault for SourceError {
    fn severity(&self) -> Severity {
        match self {
            SourceError::EmptyDirectory
            | SourceError::NoFile { .. }
            | SourceError::Repeated { .. }
            | SourceError::IndentedComment { .. }
            | SourceError::IndentedLine { .. }
            | SourceError::UnknownDirective { .. }
            | SourceError::UserTaken { .. }
            | SourceError::EmptyUser
            | SourceError::Character { .. } => Severity::Warning,
            // Whoever keeps a backup beside the file knows it.
            SourceError::Backup { has_original, .. } if *has_original => Severity::Hint,
            SourceError::Copy | SourceError::Alike(_) => Severity::Hint,
            SourceError::Backup { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// The files read so far and what was found wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    files: Vec<Arc<Path>>,
    findings: Findings<Place, SourceError>,
}

impl Report {
    /// Adds a file; its number is used in every [`Place`].
    pub(crate) fn add_file(&mut self, path: &Path) -> u32 {
        self.files.push(path.into());
        // Nobody can name four thousand million files; if so, their errors would share a name.
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Every file that was added.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &**file)
    }

    /// The place in full.
    pub(crate) fn location(&self, place: Place) -> Location {
        let file = self.files.get(place.file as usize);
        let file = file.map_or_else(|| Path::new("").into(), Arc::clone);
        let line = place.line;
        Location { file, line }
    }

    /// Adds a fault, met in `section`.
    pub(crate) fn push(&mut self, place: Place, section: Option<&str>, error: SourceError) {
        let section = section.map(|name| Subject::Section(name.to_owned()));
        let location = Some(self.location(place));
        self.findings.push(place, location, section, error);
    }

    /// Takes all faults out, in the order of files and lines.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        let mut list = std::mem::take(&mut self.findings).into_list();
        list.sort_by_key(|(place, _)| *place);
        list.into_iter().map(|(_, finding)| finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_once_and_in_the_order_of_lines() {
        let mut report = Report::default();
        let file = report.add_file(Path::new("peers.d/10base"));
        let later = Place { file, line: 9 };
        for section in ["a", "a", "b", "c"] {
            report.push(later, Some(section), SourceError::EmptyUser);
        }
        report.push(Place { file, line: 2 }, None, SourceError::BadHeader);
        report.push(Place { file, line: 0 }, None, SourceError::NotUtf8);
        let lines: Vec<String> = report
            .take_findings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "peers.d/10base: error: the line is not UTF-8: convert the file",
                "peers.d/10base:2: error: a section is written [NAME], with nothing after the \
                 bracket: correct the line",
                "peers.d/10base:9: warning: section [a] and 2 others: user is empty, so no user \
                 record is made: name the user, or remove the key",
            ]
        );
    }

    #[test]
    fn messages_offer_what_was_meant() {
        let error = SourceError::NoParent {
            parent: "@ACTVE".into(),
            nearest: Some("@ACTIVE".into()),
        };
        assert_eq!(
            error.to_string(),
            "there is no section [@ACTVE] to inherit from (was @ACTIVE meant?): define it, or \
             correct the name"
        );
    }
}
