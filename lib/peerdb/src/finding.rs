// SPDX-License-Identifier: GPL-3.0-or-later
//! What is wrong with a source or a database, each mistake told once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use crate::severity::Severity;
use crate::text::one_line;

/// A line of a source file.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
}

/// What a mistake is found in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A section of a source.
    Section(String),
    /// A peer of a database.
    Peer(String),
}

/// A kind of mistake. It displays as a sentence that says what is wrong and what to do.
pub trait Fault: Clone + Eq + Hash + fmt::Display {
    /// How bad it is.
    fn severity(&self) -> Severity;

    /// The key at fault, if there is one.
    fn key(&self) -> Option<&str> {
        None
    }
}

/// One mistake, or what looks like one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is, if the source is known.
    pub location: Option<Location>,
    /// What it was found in, if in one section or peer.
    pub subject: Option<Subject>,
    /// How many more have just the same.
    pub others: usize,
    /// The key at fault, if there is one.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Subject {
    /// The name of the section or peer.
    #[must_use]
    pub fn name(&self) -> &str {
        let (Subject::Section(name) | Subject::Peer(name)) = self;
        name
    }
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

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = one_line(self.name());
        match self {
            Subject::Section(_) => write!(f, "section [{name}]"),
            Subject::Peer(_) => write!(f, "peer {name}"),
        }
    }
}

impl fmt::Display for Finding {
    /// One line: `FILE:LINE: error: peer NAME: what is wrong: what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        write!(f, "{}: ", self.severity)?;
        match (&self.subject, self.others) {
            (None, _) => {}
            (Some(subject), 0) => write!(f, "{subject}: ")?,
            (Some(subject), 1) => write!(f, "{subject} and 1 other: ")?,
            (Some(subject), others) => write!(f, "{subject} and {others} others: ")?,
        }
        f.write_str(&self.message)
    }
}

/// The findings so far, each with a place of the kind that whoever looks for them orders them by.
#[derive(Debug)]
pub struct Findings<P, F> {
    list: Vec<(P, Finding)>,
    /// Where in the list a fault is.
    known: HashMap<(P, F), usize>,
}

impl<P, F> Default for Findings<P, F> {
    fn default() -> Self {
        Findings {
            list: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<P: Clone + Eq + Hash, F: Fault> Findings<P, F> {
    /// Adds a fault. The same fault at the same place in further sections or peers, which inherit
    /// it, is only counted.
    pub fn push(
        &mut self,
        place: P,
        location: Option<Location>,
        subject: Option<Subject>,
        fault: F,
    ) {
        let key = (place, fault);
        if let Some(index) = self.known.get(&key) {
            let known = &mut self.list[*index].1;
            known.others += usize::from(known.subject != subject);
            return;
        }
        let finding = Finding {
            severity: key.1.severity(),
            location,
            subject,
            others: 0,
            key: key.1.key().map(str::to_owned),
            message: key.1.to_string(),
        };
        self.list.push((key.0.clone(), finding));
        self.known.insert(key, self.list.len() - 1);
    }

    /// The findings in the order in which they came.
    #[must_use]
    pub fn into_list(self) -> Vec<(P, Finding)> {
        self.list
    }
}
