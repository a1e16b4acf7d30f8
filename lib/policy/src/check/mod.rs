// SPDX-License-Identifier: GPL-3.0-or-later
//! Looking for mistakes in a database or a compiled source whose format is correct.
//!
//! Every known key (see [`keys`]) is checked for its type, every unknown one for being
//! a misspelling of a known one, every peer for making sense, and the peers together for
//! contradicting each other.
//!
//! ```
//! # use peerdb::{Database, Record};
//! let hub = Record::new("hub", [("peer", "INET hub.example.com 4070"), ("wacth", "t")]);
//! let database = Database::from_parts([hub], [], []);
//! let findings = connect_policy::check::database(&database);
//! let message = findings[0].to_string();
//! assert!(message.starts_with("warning: peer hub: no program reads wacth; was watch meant?"));
//! ```

mod across;
mod address;
mod networks;
mod quotes;
mod record;
mod rule;
mod values;

pub use networks::names as network_names;

use std::collections::HashMap;

use peerdb::alike;
use peerdb::finding::{Fault, Findings, Subject};
use peerdb::source::Compilation;
use peerdb::{Database, Finding, Location, Record};

use self::rule::Rule;
use crate::keys;

/// Checks a database. Without its source, no finding has a location, and a key that is only used in
/// substitutions looks like a misspelt one.
///
/// Findings come in the order of the peers' names, those about the database as a whole last. A
/// mistake that several peers have in common is reported once.
#[must_use]
pub fn database(database: &Database) -> Vec<Finding> {
    check(database, None)
}

/// Checks what a source was compiled to. Findings come in the order of the source's lines.
///
/// What the compiler itself found wrong is not repeated, see [`Compilation::findings`].
#[must_use]
pub fn compilation(compilation: &Compilation) -> Vec<Finding> {
    let mut findings = check(&compilation.database(), Some(compilation));
    findings.sort_by(|a, b| a.location.cmp(&b.location));
    findings
}

fn check(database: &Database, source: Option<&Compilation>) -> Vec<Finding> {
    // Peers that inherit a mistake share its place, and peers of a database without a source at
    // least its words.
    let mut findings: Findings<Option<Location>, Rule> = Findings::default();
    let mut found = |peer: Option<&str>, rule: Rule| {
        let location = peer.zip(source).and_then(|(peer, source)| {
            let assigned = rule.key().and_then(|key| source.location(peer, key));
            assigned.or_else(|| source.section(peer))
        });
        let subject = peer.map(|name| Subject::Peer(name.to_owned()));
        findings.push(location.clone(), location, subject, rule);
    };
    for fault in database.faults() {
        found(fault.peer(), Rule::Damaged(fault.clone()));
    }
    // The compiler does this line by line.
    if source.is_none() {
        for record in database.sorted_peers() {
            values::characters(record).for_each(|rule| found(Some(record.name()), rule));
        }
        let names = database.sorted_peers().iter().map(Record::name);
        for (name, doubt) in alike::doubts(names, |first| format!("peer {first}")) {
            found(Some(name), Rule::Alike(doubt));
        }
    }
    // Most peers have the same keys, and comparing one with every known key takes time.
    let mut nearest = HashMap::new();
    for record in database.sorted_peers() {
        let name = Some(record.name());
        for (key, value) in record.iter() {
            values::check(key, value)
                .into_iter()
                .for_each(|rule| found(name, rule));
            let meant = nearest.entry(key).or_insert_with(|| keys::nearest(key));
            // A key that is substituted somewhere is useful, whatever its name.
            if let Some(meant) = meant
                && !source.is_some_and(|source| source.is_used(key))
            {
                let key = key.into();
                found(name, Rule::Unknown { key, meant });
            }
        }
        for rule in record::check(record) {
            found(name, rule);
        }
    }
    across::check(database, |peer: Option<&Record>, rule| {
        found(peer.map(Record::name), rule);
    });
    let list = findings.into_list().into_iter();
    list.map(|(_, finding)| finding).collect()
}
