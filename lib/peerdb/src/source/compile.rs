// SPDX-License-Identifier: GPL-3.0-or-later
//! From sections to the records of a database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::inherit::{self, Visible};
use super::parse::{Section, Sections};
use super::report::{Place, Report, SourceError};
use super::resolve::{ResolveError, Resolver};
use super::substitute::{Answers, Expander, Stop};
use crate::alike;
use crate::contents::Contents;
use crate::database::Database;
use crate::finding::{Finding, Location};
use crate::record::{Record, is_true};
use crate::severity::Severity;
use crate::writer::Writer;

/// The result of compiling a source: a record for every correct section, and what is wrong with the
/// others.
#[derive(Debug)]
pub struct Compilation {
    /// Sorted by name.
    compiled: Vec<Compiled>,
    findings: Vec<Finding>,
    report: Report,
    used: HashSet<String>,
}

/// The record of one section, and where it came from.
#[derive(Debug)]
struct Compiled {
    record: Record,
    /// The section's first header.
    place: Place,
    /// The place of each value, in the order of the record's keys.
    places: Box<[Place]>,
    /// Whether the record's `user` is this peer and not an earlier one.
    is_user: bool,
}

impl Compiled {
    fn is_local(&self) -> bool {
        self.record.name().starts_with('$')
    }

    /// The place of the value of `key`.
    fn place_of(&self, key: &str) -> Option<Place> {
        let index = self.record.iter().position(|(known, _)| known == key)?;
        self.places.get(index).copied()
    }

    fn user(&self) -> Option<&str> {
        self.record.get("user").filter(|_| self.is_user)
    }

    /// The compiler alone also takes `1` for true.
    fn is_auto(&self) -> bool {
        let auto = self.record.get("auto");
        !self.is_local() && auto.is_some_and(|auto| is_true(auto) || auto == "1")
    }
}

impl Compilation {
    /// What is wrong with the source, in the order of its lines.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether any finding is an error, so that the database lacks something.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.severity == Severity::Error)
    }

    /// Every file that was examined, even if it was not read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.report.files()
    }

    /// The records of all correct sections, peers and local ones, sorted by name.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.compiled.iter().map(|compiled| &compiled.record)
    }

    /// The records of all correct sections that are peers, sorted by name.
    pub fn peers(&self) -> impl Iterator<Item = &Record> {
        let peers = self.compiled.iter().filter(|peer| !peer.is_local());
        peers.map(|peer| &peer.record)
    }

    /// The database, without writing it.
    #[must_use]
    pub fn database(&self) -> Database {
        let (locals, peers): (Vec<&Compiled>, Vec<&Compiled>) = self
            .compiled
            .iter()
            .partition(|compiled| compiled.is_local());
        Database::assemble(Contents {
            users: peers
                .iter()
                .filter_map(|peer| Some((peer.user()?.into(), peer.record.name().into())))
                .collect(),
            auto: self.auto().map(str::to_owned).collect(),
            peers: peers.iter().map(|peer| peer.record.clone()).collect(),
            locals: locals.iter().map(|local| local.record.clone()).collect(),
            ..Contents::default()
        })
    }

    /// The database ready to be written: sorted by section, each peer's user after it, and the list
    /// of automatic peers at the end.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let mut writer = Writer::new();
        for compiled in &self.compiled {
            writer.put_record(&compiled.record);
            if let Some(user) = compiled.user() {
                writer.put_user(user, compiled.record.name());
            }
        }
        writer.put_auto(self.auto());
        writer
    }

    fn auto(&self) -> impl Iterator<Item = &str> {
        self.compiled
            .iter()
            .filter(|compiled| compiled.is_auto())
            .map(|compiled| compiled.record.name())
    }

    /// Where the value of `key` in the record of section `name` was assigned.
    #[must_use]
    pub fn location(&self, name: &str, key: &str) -> Option<Location> {
        Some(self.report.location(self.find(name)?.place_of(key)?))
    }

    /// Where the section `name` first begins.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Location> {
        Some(self.report.location(self.find(name)?.place))
    }

    /// Whether some value substitutes `key`, so that it is useful even if no program reads it.
    #[must_use]
    pub fn is_used(&self, key: &str) -> bool {
        self.used.contains(key)
    }

    fn find(&self, name: &str) -> Option<&Compiled> {
        let index = self
            .compiled
            .binary_search_by(|compiled| compiled.record.name().cmp(name))
            .ok()?;
        self.compiled.get(index)
    }
}

/// Compiles all sections.
pub(crate) fn compile(
    sections: &Sections,
    mut report: Report,
    resolver: &dyn Resolver,
) -> Compilation {
    alike(sections, &mut report);
    let visible = inherit::visible(sections, &mut report);
    let mut todo: Vec<(&Section, &Visible)> = sections
        .list
        .iter()
        .zip(&visible)
        .filter(|(section, _)| !section.name.starts_with('@'))
        .filter_map(|(section, visible)| Some((section, visible.as_ref()?)))
        .collect();
    todo.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));

    let mut answers = Answers::new();
    let mut used = HashSet::new();
    let mut compiled = Vec::with_capacity(todo.len());
    // Sections that need addresses of hosts are compiled again when the answers are there. All
    // hosts are looked up at once, so there are usually two rounds. There are more only for a host
    // whose name depends on the address of another one, and the limit on nested substitutions ends
    // that.
    while !todo.is_empty() {
        let mut wanted = BTreeSet::new();
        let mut pending = Vec::new();
        for (section, visible) in todo {
            let mut expander = Expander::new(&section.name, visible, &answers, &report);
            match expand(section, visible, &mut expander) {
                Err(Stop::Pending) => {
                    wanted.extend(expander.wanted);
                    pending.push((section, visible));
                }
                result => {
                    used.extend(expander.used);
                    for (place, error) in expander.faults {
                        report.push(place, Some(&section.name), error);
                    }
                    compiled.extend(result.ok());
                }
            }
        }
        ask(resolver, wanted, &mut answers);
        todo = pending;
    }
    compiled.sort_unstable_by(|a, b| a.record.name().cmp(b.record.name()));
    settle_users(&mut compiled, &mut report);
    Compilation {
        compiled,
        findings: report.take_findings(),
        report,
        used,
    }
}

/// Looks for names of sections that look like other ones.
fn alike(sections: &Sections, report: &mut Report) {
    let place = |name: &str| Some(sections.list.get(sections.find(name)?)?.place);
    let names = sections.list.iter().map(|section| section.name.as_str());
    let doubts = alike::doubts(names, |first| match place(first) {
        Some(place) => format!("[{first}] at {}", report.location(place)),
        None => format!("[{first}]"),
    });
    for (name, doubt) in doubts {
        if let Some(place) = place(name) {
            report.push(place, Some(name), SourceError::Alike(doubt));
        }
    }
}

/// Computes every value of one section.
fn expand(
    section: &Section,
    visible: &Visible<'_>,
    expander: &mut Expander<'_, '_>,
) -> Result<Compiled, Stop> {
    let mut pairs = Vec::with_capacity(visible.0.len());
    let mut places = Vec::with_capacity(visible.0.len());
    let mut failed = false;
    for (index, (key, supply)) in visible.0.iter().enumerate() {
        // Such keys are only for the compiler.
        if key.starts_with('@') {
            continue;
        }
        match expander.value(index) {
            Ok(value) => {
                pairs.push((*key, value));
                places.push(supply.first.place);
            }
            Err(Stop::Failed) => failed = true,
            Err(Stop::Pending) => {}
        }
    }
    if !expander.wanted.is_empty() {
        return Err(Stop::Pending);
    }
    if failed {
        return Err(Stop::Failed);
    }
    Ok(Compiled {
        // Visible keys are sorted and unique, so values and places have the same order.
        record: Record::new(&section.name, pairs),
        place: section.place,
        places: places.into(),
        is_user: false,
    })
}

/// Looks up all hosts; whatever the resolver does, each has an answer afterwards.
fn ask(resolver: &dyn Resolver, wanted: BTreeSet<String>, answers: &mut Answers) {
    if wanted.is_empty() {
        return;
    }
    let hosts: Vec<String> = wanted.into_iter().collect();
    let mut results = resolver.resolve(&hosts).into_iter();
    for host in hosts {
        let missing = || Err(ResolveError::Failed("the resolver gave no answer".into()));
        answers.insert(host, results.next().unwrap_or_else(missing));
    }
}

/// Gives each user to the first peer that names it.
fn settle_users(compiled: &mut [Compiled], report: &mut Report) {
    let mut users: HashMap<String, usize> = HashMap::new();
    for index in 0..compiled.len() {
        let peer = &compiled[index];
        let Some(user) = peer.record.get("user").filter(|_| !peer.is_local()) else {
            continue;
        };
        let place = peer.place_of("user").unwrap_or(peer.place);
        let name = peer.record.name();
        if user.is_empty() {
            report.push(place, Some(name), SourceError::EmptyUser);
        } else if let Some(first) = users.get(user) {
            let error = SourceError::UserTaken {
                user: user.into(),
                first: compiled[*first].record.name().into(),
            };
            report.push(place, Some(name), error);
        } else {
            users.insert(user.to_owned(), index);
            compiled[index].is_user = true;
        }
    }
}
