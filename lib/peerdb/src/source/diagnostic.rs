// SPDX-License-Identifier: GPL-3.0-or-later
//! What the compiler has to say about a source, with the place and the remedy.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::level::Level;
use crate::value::{one_line, shown};

/// A line of a source file, without the file's name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// The file's number in the report.
    pub(crate) file: u32,
    /// The line, from 1; 0 for the file as a whole.
    pub(crate) line: u32,
}

/// A line of a source file.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.file.to_string_lossy()))?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

/// What is wrong with a source.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file or directory could not be read.
    #[error(
        "it cannot be read ({reason}): check its name and its permissions",
        reason = one_line(reason)
    )]
    Read {
        /// What the system said.
        reason: String,
    },
    /// A file is too large to be a source.
    #[error("it is larger than {} MiB: check that it is a source file", limit >> 20)]
    TooLarge {
        /// The largest size that is read, in bytes.
        limit: u64,
    },
    /// A directory has no source file in it.
    #[error("there is no source file in this directory: put one there, or name another")]
    EmptyDirectory,
    /// A line is not UTF-8.
    #[error("the line is not UTF-8: convert the file")]
    NotUtf8,
    /// A section header that does not end with its bracket, or has brackets inside.
    #[error("a section is written [NAME], with nothing after the bracket: correct the line")]
    BadHeader,
    /// A line that is neither header, assignment, comment nor continuation.
    #[error(
        "{} is no assignment: write KEY = VALUE, or begin the line with # for a comment",
        shown(text)
    )]
    NoAssignment {
        /// The line.
        text: String,
    },
    /// An assignment without a key.
    #[error("there is no key before the {separator}: write KEY = VALUE")]
    NoKey {
        /// The separator, `=` or `:`.
        separator: char,
    },
    /// An assignment before the first section.
    #[error(
        "{key} is assigned outside any section: put a line [NAME] before it",
        key = one_line(key)
    )]
    NoSection {
        /// The key.
        key: String,
    },
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
        meant(nearest.as_ref()),
        parent = one_line(parent)
    )]
    NoParent {
        /// The parent's name.
        parent: String,
        /// A section of a similar name.
        nearest: Option<String>,
    },
    /// A section inherits from itself.
    #[error(
        "sections inherit from each other in a circle ({}): break it",
        one_line(&path.join(" from "))
    )]
    InheritanceCycle {
        /// The sections, the first again at the end.
        path: Vec<String>,
    },
    /// Several parents supply different values.
    #[error(
        "the parents disagree about {key}: {} here, but {} at {other}; assign {key} in the \
         section itself, or in only one of them",
        shown(value),
        shown(other_value),
        key = one_line(key)
    )]
    ParentsDisagree {
        /// The key.
        key: String,
        /// The value at the place of the diagnostic.
        value: String,
        /// Another parent's value.
        other_value: String,
        /// Where that one is.
        other: Location,
    },
    /// `$(KEY)` of a key that the section does not have.
    #[error(
        "$({key}) has no value{}: assign {key} in the section or a parent, or, if the $( is \
         meant for a shell, see peers.in(5)",
        meant(nearest.as_ref()),
        key = one_line(key)
    )]
    NoValue {
        /// The key.
        key: String,
        /// A key of a similar name that has one.
        nearest: Option<String>,
    },
    /// A value that needs itself.
    #[error("the value needs itself ({}): break the circle", one_line(&path.join(" needs ")))]
    SubstitutionCycle {
        /// The keys, the first again at the end.
        path: Vec<String>,
    },
    /// Values that need each other to a great depth, or brackets in brackets.
    #[error("substitutions are nested deeper than {limit}: simplify them")]
    TooDeep {
        /// The greatest depth.
        limit: usize,
    },
    /// A value that grows beyond all reason.
    #[error(
        "the value of {key} is longer than {limit} bytes after substitution: shorten it",
        key = one_line(key)
    )]
    TooLong {
        /// The key.
        key: String,
        /// The greatest length.
        limit: usize,
    },
    /// A substitution without its closing bracket.
    #[error(
        "{opening} is not closed by {closing}: close it, or, if it is meant for a shell, see \
         peers.in(5)",
        opening = one_line(opening)
    )]
    Unclosed {
        /// How the substitution starts.
        opening: String,
        /// The bracket that is missing.
        closing: char,
    },
    /// `$()` or `$[]`.
    #[error("{text} names nothing: put a name between the brackets")]
    NamesNothing {
        /// The substitution.
        text: &'static str,
    },
    /// A host whose addresses could not be found.
    #[error(
        "no address of {} is known ({reason}): correct the name, or write the address itself",
        shown(host),
        reason = one_line(reason)
    )]
    Unresolved {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
    },
    /// A host without an address of the right kind.
    #[error(
        "{host} has no {family} address: ask for another kind of address, or write it itself",
        host = one_line(host)
    )]
    NoAddress {
        /// The host.
        host: String,
        /// The kind of address.
        family: &'static str,
    },
    /// A key assigned twice in a section of one file.
    #[error(
        "{key} was assigned in this section before, at {first}: remove one of the lines",
        key = one_line(key)
    )]
    Repeated {
        /// The key.
        key: String,
        /// Where it was assigned before.
        first: Location,
    },
    /// An indented line that looks like a comment.
    #[error(
        "the line begins with white space, so it is part of the value of {key}: if it is a \
         comment, remove the white space",
        key = one_line(key)
    )]
    IndentedComment {
        /// The key whose value it continues.
        key: String,
    },
    /// An indented line that looks like an assignment or a header.
    #[error(
        "the line begins with white space, so it is part of the value of {key}: if {text} is to \
         stand for itself, remove the white space",
        key = one_line(key),
        text = one_line(text)
    )]
    IndentedLine {
        /// The key whose value it continues.
        key: String,
        /// What it seems to be.
        text: String,
    },
    /// A key starting with `@` that means nothing.
    #[error(
        "{key} means nothing to the compiler; was {meant} meant?",
        key = one_line(key),
        meant = one_line(meant)
    )]
    UnknownDirective {
        /// The key.
        key: String,
        /// The directive of a similar name.
        meant: String,
    },
    /// Two peers are the same user.
    #[error(
        "the user {user} is the peer {first} already, and stays so: give one of them another \
         user",
        user = one_line(user),
        first = one_line(first)
    )]
    UserTaken {
        /// The user.
        user: String,
        /// The peer that comes first.
        first: String,
    },
    /// `user` without a name.
    #[error("user is empty, so no user record is made: name the user, or remove the key")]
    EmptyUser,
}

fn meant(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |name| {
        format!(" (was {} meant?)", one_line(name))
    })
}

impl SourceError {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            SourceError::EmptyDirectory
            | SourceError::Repeated { .. }
            | SourceError::IndentedComment { .. }
            | SourceError::IndentedLine { .. }
            | SourceError::UnknownDirective { .. }
            | SourceError::UserTaken { .. }
            | SourceError::EmptyUser => Level::Warning,
            _ => Level::Error,
        }
    }
}

/// One fault of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Where the fault is.
    pub location: Location,
    /// The section that it was met in, if any.
    pub section: Option<String>,
    /// How many more sections met the same fault at the same place, by inheriting it.
    pub others: usize,
    /// What is wrong.
    pub error: SourceError,
}

impl Diagnostic {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.error.level()
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `FILE:LINE: error: section [NAME]: what is wrong: what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.location, self.level())?;
        match (self.section.as_deref().map(one_line), self.others) {
            (None, _) => {}
            (Some(section), 0) => write!(f, "section [{section}]: ")?,
            (Some(section), 1) => write!(f, "section [{section}] and 1 other: ")?,
            (Some(section), others) => write!(f, "section [{section}] and {others} others: ")?,
        }
        self.error.fmt(f)
    }
}

/// The files read so far and what was found wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    files: Vec<Arc<Path>>,
    list: Vec<(Place, Diagnostic)>,
    /// Where in the list a fault stands that is not to be told once for each section.
    known: HashMap<(Place, SourceError), usize>,
}

impl Report {
    /// Takes note of a file; its number is used in every [`Place`].
    pub(crate) fn add_file(&mut self, path: &Path) -> u32 {
        self.files.push(path.into());
        // Nobody can name four thousand million files; if so, their errors would share a name.
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The place in full.
    pub(crate) fn location(&self, place: Place) -> Location {
        Location {
            file: self
                .files
                .get(place.file as usize)
                .map_or_else(|| Path::new("").into(), Arc::clone),
            line: place.line,
        }
    }

    /// Takes note of a fault, met in `section`. The same fault at the same place met in further
    /// sections, which inherit it, is only counted.
    pub(crate) fn push(&mut self, place: Place, section: Option<&str>, error: SourceError) {
        let key = (place, error);
        if let Some(index) = self.known.get(&key) {
            let diagnostic = &mut self.list[*index].1;
            if diagnostic.section.as_deref() != section {
                diagnostic.others += 1;
            }
            return;
        }
        let diagnostic = Diagnostic {
            location: self.location(place),
            section: section.map(str::to_owned),
            others: 0,
            error: key.1.clone(),
        };
        self.known.insert(key, self.list.len());
        self.list.push((place, diagnostic));
    }

    /// The files, and all faults in the order of files and lines.
    pub(crate) fn finish(mut self) -> (Vec<Arc<Path>>, Vec<Diagnostic>) {
        self.list.sort_by_key(|(place, _)| *place);
        let diagnostics = self.list.into_iter().map(|(_, diagnostic)| diagnostic);
        (self.files, diagnostics.collect())
    }
}

/// A time limit as it stands in a message.
pub(crate) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f32())
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
        let lines: Vec<String> = report.finish().1.iter().map(ToString::to_string).collect();
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
