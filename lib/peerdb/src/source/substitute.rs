// SPDX-License-Identifier: GPL-3.0-or-later
//! Making the substitutions in the values of one section.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::inherit::{Supply, Visible};
use super::parse::Assignment;
use super::report::{Place, Report, SourceError};
use super::resolve::ResolveError;
use super::template::{Families, Piece, Template};
use crate::misspelling;

/// How long a chain of values that need each other may be. Real sources need three or four; with
/// the limit, a hostile source cannot exhaust the stack.
const MAX_DEPTH: usize = 50;

/// The longest value that substitution may make: 64 KiB, far beyond what fits into an environment
/// or a command. Values that double each other would otherwise fill the memory.
const MAX_LENGTH: usize = 64 << 10;

/// The key that stands for the section's own name unless it is assigned.
const NAME: &str = "name";

/// The answers of the resolver so far.
pub(crate) type Answers = HashMap<String, Result<Vec<IpAddr>, ResolveError>>;

/// Why there is no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// Something is wrong, and was reported.
    Failed,
    /// The resolver must be asked first.
    Pending,
}

/// A key's value, as far as it was computed.
#[derive(Clone, Debug)]
enum State {
    New,
    Working,
    Done(Result<Rc<str>, Stop>),
}

/// The values of one section.
pub(crate) struct Expander<'a, 's> {
    /// The section's name.
    name: Rc<str>,
    visible: &'a Visible<'s>,
    answers: &'a Answers,
    report: &'a Report,
    states: Vec<State>,
    /// The keys that are being computed, outermost first.
    path: Vec<&'s str>,
    /// Hosts that the resolver has not been asked for.
    pub(crate) wanted: BTreeSet<String>,
    /// The keys that were substituted somewhere.
    pub(crate) used: HashSet<String>,
    /// What is wrong. A fault is in the list once, however many keys it touches.
    pub(crate) faults: Vec<(Place, SourceError)>,
}

impl<'a, 's> Expander<'a, 's> {
    /// The report only serves to name places.
    pub(crate) fn new(
        name: &str,
        visible: &'a Visible<'s>,
        answers: &'a Answers,
        report: &'a Report,
    ) -> Self {
        Expander {
            name: name.into(),
            visible,
            answers,
            report,
            states: vec![State::New; visible.0.len()],
            path: Vec::new(),
            wanted: BTreeSet::new(),
            used: HashSet::new(),
            faults: Vec::new(),
        }
    }

    /// The value of the visible key number `index`.
    pub(crate) fn value(&mut self, index: usize) -> Result<Rc<str>, Stop> {
        match &self.states[index] {
            State::Done(result) => return result.clone(),
            State::New | State::Working => {}
        }
        let visible = self.visible;
        let (key, supply) = &visible.0[index];
        self.states[index] = State::Working;
        self.path.push(key);
        let result = self.supplied(key, supply);
        self.path.pop();
        self.states[index] = State::Done(result.clone());
        result
    }

    /// The value on which all assignments that supply `key` agree.
    fn supplied(&mut self, key: &str, supply: &Supply<'s>) -> Result<Rc<str>, Stop> {
        let first = self.assigned(key, supply.first);
        for other in &supply.others {
            // Computed even if there is no first value, so that the faults of both are reported.
            let value = self.assigned(key, other);
            if let (Ok(first), Ok(value)) = (&first, &value)
                && first != value
            {
                let error = SourceError::ParentsDisagree {
                    key: key.into(),
                    value: (&**first).into(),
                    other_value: (&**value).into(),
                    other: self.report.location(other.place),
                };
                return self.fail(supply.first.place, error);
            }
            value?;
        }
        first
    }

    fn assigned(&mut self, key: &str, assignment: &Assignment) -> Result<Rc<str>, Stop> {
        let template = assignment.value.as_ref().ok_or(Stop::Failed)?;
        let value = self.expand(template, key, assignment.place)?;
        Ok(value.into())
    }

    fn fail<T>(&mut self, place: Place, error: SourceError) -> Result<T, Stop> {
        self.faults.push((place, error));
        Err(Stop::Failed)
    }

    /// The text of a template that stands in the value of `key` at `place`.
    fn expand(&mut self, template: &Template, key: &str, place: Place) -> Result<String, Stop> {
        let mut text = String::new();
        let mut stop = None;
        for piece in &template.0 {
            let result = match piece {
                Piece::Text(plain) => {
                    text.push_str(plain);
                    Ok(())
                }
                Piece::Key(name) => self
                    .expand(name, key, place)
                    .and_then(|name| self.substituted(&name, place))
                    .map(|value| text.push_str(&value)),
                Piece::Host(families, host) => self
                    .expand(host, key, place)
                    .and_then(|host| self.address(*families, host.trim(), place))
                    .map(|address| text.push_str(&address)),
            };
            // The other pieces are still computed: they may have faults to report or hosts to look
            // up. A fault is more important than a host.
            match result {
                Err(Stop::Failed) => stop = Some(Stop::Failed),
                Err(Stop::Pending) => stop = stop.or(Some(Stop::Pending)),
                Ok(()) if text.len() > MAX_LENGTH => {
                    let error = SourceError::TooLong {
                        key: key.into(),
                        length: text.len(),
                        limit: MAX_LENGTH,
                    };
                    return self.fail(place, error);
                }
                Ok(()) => {}
            }
        }
        stop.map_or(Ok(text), Err)
    }

    /// The value of the key named by `$(KEY)` at `place`.
    fn substituted(&mut self, key: &str, place: Place) -> Result<Rc<str>, Stop> {
        let key = key.trim().to_lowercase();
        let found = self.visible.find(&key);
        if !self.used.contains(&key) {
            self.used.insert(key.clone());
        }
        let Some(index) = found else {
            if key == NAME {
                return Ok(Rc::clone(&self.name));
            }
            let nearest = misspelling::nearest(&key, self.visible.0.iter().map(|(name, _)| *name));
            let nearest = nearest.map(Into::into);
            return self.fail(
                place,
                SourceError::NoValue {
                    key: key.into(),
                    nearest,
                },
            );
        };
        if matches!(self.states[index], State::Working) {
            let start = self.path.iter().position(|name| *name == key);
            let circle = &self.path[start.unwrap_or_default()..];
            let path = circle
                .iter()
                .map(|name| (*name).to_owned())
                .chain([key])
                .collect();
            return self.fail(place, SourceError::SubstitutionCycle { path });
        }
        if self.path.len() >= MAX_DEPTH {
            return self.fail(place, SourceError::TooDeep { limit: MAX_DEPTH });
        }
        self.value(index)
    }

    /// The addresses that `$[HOST]` at `place` stands for.
    fn address(&mut self, families: Families, host: &str, place: Place) -> Result<String, Stop> {
        let literal: Option<IpAddr> = host.parse().ok();
        let mut addresses = match (literal, self.answers.get(host)) {
            (Some(address), _) => vec![address],
            (None, Some(Ok(addresses))) => addresses.clone(),
            (None, Some(Err(error))) => {
                let (host, reason) = (host.into(), error.to_string().into());
                return self.fail(place, SourceError::Unresolved { host, reason });
            }
            // The resolver would take an empty name for this host itself.
            (None, None) if host.is_empty() => {
                let (host, reason) = ("".into(), "the name is empty".into());
                return self.fail(place, SourceError::Unresolved { host, reason });
            }
            (None, None) => {
                self.wanted.insert(host.to_owned());
                return Err(Stop::Pending);
            }
        };
        let any = families.v4 == families.v6;
        addresses.retain(|address| any || address.is_ipv4() == families.v4);
        // IPv4 addresses sort before all others. The order of the answer does not matter, since
        // name servers often change it.
        addresses.sort_unstable();
        addresses.dedup();
        if !families.all {
            addresses.truncate(1);
        }
        if addresses.is_empty() {
            let family = match (any, families.v4) {
                (true, _) => "usable",
                (false, true) => "IPv4",
                (false, false) => "IPv6",
            };
            let host = host.into();
            return self.fail(place, SourceError::NoAddress { host, family });
        }
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Ok(addresses.join(" "))
    }
}
