// SPDX-License-Identifier: GPL-3.0-or-later
//! Looking for mistakes in a database or a compiled source that is sound as such.
//!
//! Every known key (see [`keys`]) is checked for its type, every unknown one for being
//! a misspelling of a known one, every peer for making sense, and the peers together for
//! contradicting each other.
//!
//! ```
//! # use peerdb::{Database, Record};
//! let hub = Record::new("hub", [("peer", "INET hub.example.com 4070"), ("wacth", "t")]);
//! let database = Database::from_parts([hub], [], []);
//! let findings = peerdb::check::database(&database);
//! let message = findings[0].to_string();
//! assert!(message.starts_with("warning: peer hub: nobody reads wacth; was watch meant?"));
//! ```

mod across;
mod peer;
mod rule;
mod values;

use std::collections::HashMap;
use std::fmt;

pub use rule::Rule;

use crate::database::Database;
use crate::keys;
use crate::level::Level;
use crate::record::Record;
use crate::source::{Compilation, Location};
use crate::value::one_line;

/// One mistake, or what looks like one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The peer it was found at, if at one.
    pub peer: Option<String>,
    /// How many more peers have just the same.
    pub others: usize,
    /// Where the value at fault was assigned, if the source is known.
    pub location: Option<Location>,
    /// What is wrong.
    pub rule: Rule,
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.rule.level()
    }

    /// The key at fault, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.rule.key()
    }
}

impl fmt::Display for Finding {
    /// One line: `FILE:LINE: error: peer NAME: what is wrong: what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        write!(f, "{}: ", self.level())?;
        match (self.peer.as_deref().map(one_line), self.others) {
            (None, _) => {}
            (Some(peer), 0) => write!(f, "peer {peer}: ")?,
            (Some(peer), 1) => write!(f, "peer {peer} and 1 other: ")?,
            (Some(peer), others) => write!(f, "peer {peer} and {others} others: ")?,
        }
        self.rule.fmt(f)
    }
}

/// Checks a database. Without its source, no finding has a location, and a key that only serves
/// substitutions cannot be told from a misspelt one.
///
/// Findings come in the order of the peers' names, those about the database as a whole last. What
/// several peers have in common is told once.
#[must_use]
pub fn database(database: &Database) -> Vec<Finding> {
    check(database, None)
}

/// Checks what a source was compiled to. Findings come in the order of the source's lines.
///
/// What the compiler itself found wrong is not repeated, see [`Compilation::diagnostics`].
#[must_use]
pub fn compilation(compilation: &Compilation) -> Vec<Finding> {
    let mut findings = check(&compilation.database(), Some(compilation));
    findings.sort_by(|a, b| a.location.cmp(&b.location));
    findings
}

fn check(database: &Database, source: Option<&Compilation>) -> Vec<Finding> {
    let mut findings = Findings {
        source,
        list: Vec::new(),
        known: HashMap::new(),
    };
    for problem in database.problems() {
        findings.push(problem.peer(), Rule::Damaged(problem.clone()));
    }
    // Peers mostly have the same keys, and comparing one with every known key takes its time.
    let mut nearest = HashMap::new();
    for record in database.sorted_peers() {
        let name = record.name();
        for (key, value) in record.iter() {
            for rule in values::check(key, value) {
                findings.push(Some(name), rule);
            }
            let meant = nearest.entry(key).or_insert_with(|| keys::nearest(key));
            // A key that is substituted somewhere serves a purpose, whatever its name.
            if let Some(meant) = meant
                && !source.is_some_and(|source| source.is_used(key))
            {
                let (key, meant) = (key.to_owned(), meant.name);
                findings.push(Some(name), Rule::Unknown { key, meant });
            }
        }
        for rule in peer::check(record) {
            findings.push(Some(name), rule);
        }
    }
    across::check(database, |peer: Option<&Record>, rule| {
        findings.push(peer.map(Record::name), rule);
    });
    findings.list
}

/// The findings so far.
struct Findings<'a> {
    source: Option<&'a Compilation>,
    list: Vec<Finding>,
    /// Where in the list a finding stands that other peers may share.
    known: HashMap<(Option<Location>, Rule), usize>,
}

impl Findings<'_> {
    fn push(&mut self, peer: Option<&str>, rule: Rule) {
        let location = peer.zip(self.source).and_then(|(peer, source)| {
            rule.key()
                .and_then(|key| source.location(peer, key))
                .or_else(|| source.section(peer))
        });
        // Peers that inherit a mistake share its place, and peers of a database without a source at
        // least its words.
        let key = (location, rule);
        if let Some(index) = self.known.get(&key) {
            let finding = &mut self.list[*index];
            if finding.peer.as_deref() != peer {
                finding.others += 1;
            }
            return;
        }
        self.list.push(Finding {
            peer: peer.map(str::to_owned),
            others: 0,
            location: key.0.clone(),
            rule: key.1.clone(),
        });
        self.known.insert(key, self.list.len() - 1);
    }
}
