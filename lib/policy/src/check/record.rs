// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of one peer's keys taken together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use peerdb::Record;
use tripe_admin::session::MAX_SENT;
use tripe_admin::{Interval, Words, token};

use super::rule::{LONGEST, Rule};
use crate::pinging::{PingKind, SHORTEST, is_dynamic, is_watched, ping_plan};
use crate::{adding, environment, resolving, size, value};

/// The command for adding a peer, up to its options, with a tag as long as one is ever likely to
/// be.
const ADD: [&str; 3] = ["ADD", "-background", "J9999999"];

/// The longest address that a peer can turn out to have.
const LONGEST_ADDRESS: &str = "INET6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535";

/// What is wrong with the record as a whole.
pub(super) fn check(record: &Record) -> Vec<Rule> {
    let mut rules = Vec::new();
    if record.name().contains(['\n', '\r', '\0']) {
        rules.push(Rule::UnsendableName);
    }
    if record.name().starts_with('-') {
        rules.push(Rule::NameLikeOption);
    }
    connection(record, &mut rules);
    watching(record, &mut rules);
    command(record, &mut rules);
    variables(record, &mut rules);
    if let Some(size) = size::oversize(record) {
        rules.push(Rule::TooLarge { size });
    }
    rules
}

/// How the peer is reached.
fn connection(record: &Record, rules: &mut Vec<Rule>) {
    let has = |key: &str| record.get(key).is_some();
    if !has("peer") {
        rules.push(Rule::NoAddress);
    }
    if has("connect") && has("knock") {
        rules.push(Rule::ConnectAndKnock);
    }
    if record.is_passive() {
        for key in ["connect", "knock"] {
            if has(key) {
                rules.push(Rule::PassiveWith { key });
            }
        }
        // A knock gives the peer's name, and the tag in it must be the recorded one (the manual,
        // `knock-tag-mismatch`); with a prefix, the whole name is no tag.
        if record.name().contains('.') && !has("key") {
            let name = record.name().into();
            rules.push(Rule::KnockTag { name });
        }
    }
}

/// How the peer is pinged, and what happens when it does not answer.
fn watching(record: &Record, rules: &mut Vec<Rule>) {
    let has = |key: &str| record.get(key).is_some();
    // A value that is not an interval is reported on its own.
    let interval = |key: &str| {
        value::interval(record, key)
            .ok()
            .flatten()
            // So is a time that is too short.
            .filter(|interval| *interval >= SHORTEST)
            .map(Interval::seconds)
    };
    if let (Some(first), Some(longest)) = (interval("backoff"), interval("backoff-max"))
        && longest < first
    {
        rules.push(Rule::BackoffMax { first, longest });
    }
    if record.flag(resolving::KEY)
        && (!is_watched(record) || resolving::looked_up(record).is_none())
    {
        rules.push(Rule::NothingToResolve);
    }
    let dynamic = is_dynamic(record);
    if !is_watched(record) {
        if dynamic {
            rules.push(Rule::DynamicUnwatched);
        } else if !has("watch") {
            // If `watch` is assigned and false, it was set on purpose.
            let key = ["every", "timeout", "retries", "on-up", "on-down"]
                .into_iter()
                .find(|key| has(key));
            rules.extend(key.map(|key| Rule::Unwatched { key }));
        }
        return;
    }
    let (plan, ..) = ping_plan(record, PingKind::default());
    let (every, timeout, retries) = (plan.every, plan.timeout, plan.retries);
    let verdict = u64::from(timeout) * u64::from(retries);
    if timeout <= LONGEST && verdict > u64::from(LONGEST) {
        rules.push(Rule::LateVerdict { timeout, retries });
    }
    if dynamic && every > timeout.saturating_mul(retries.saturating_sub(1)) {
        rules.push(if retries < 2 {
            Rule::NoAttemptsLeft { retries }
        } else {
            Rule::Slow {
                every,
                timeout,
                retries,
            }
        });
    }
}

/// The command that adds the peer.
fn command(record: &Record, rules: &mut Vec<Rule>) {
    // A value that cannot be part of a command is reported on its own.
    let options = adding::options(record).unwrap_or_default();
    // A passive peer's address is only known later; an IPv6 address is the longest it can be.
    let address = adding::address(record).unwrap_or_else(|_| Words::new(LONGEST_ADDRESS).owned());
    let arguments = adding::arguments(&options, record.name(), &address);
    let length = token::join(ADD.into_iter().chain(arguments)).len();
    if length > MAX_SENT {
        rules.push(Rule::LongCommand { length });
    }
}

/// The environment variables that scripts get (the manual, "Configuring interfaces").
fn variables(record: &Record, rules: &mut Vec<Rule>) {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (key, _) in record.iter() {
        match known.entry(environment::variable(environment::RECORD, key)) {
            Entry::Vacant(entry) => {
                entry.insert(key);
            }
            Entry::Occupied(entry) => rules.push(Rule::SameVariable {
                key: (*entry.get()).into(),
                other: key.into(),
                variable: entry.key().as_str().into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerdb::Severity;
    use peerdb::finding::Fault as _;

    fn rules(name: &str, pairs: &[(&str, &str)]) -> Vec<Rule> {
        check(&Record::new(name, pairs.iter().copied()))
    }

    const ADDRESS: (&str, &str) = ("peer", "INET hub.example.com 4070");

    #[test]
    fn sensible_peers_pass() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("static", &[ADDRESS]),
            ("watched", &[ADDRESS, ("watch", "t"), ("every", "10m")]),
            (
                "dynamic",
                &[ADDRESS, ("watch", "t"), ("every", "40s"), ("knock", "gate")],
            ),
            (
                "patient",
                &[
                    ADDRESS,
                    ("watch", "t"),
                    ("every", "9m"),
                    ("timeout", "1m"),
                    ("retries", "10"),
                    ("connect", "x"),
                ],
            ),
            (
                "passive",
                &[("peer", "PASSIVE"), ("watch", "t"), ("every", "5m")],
            ),
            ("site.passive", &[("peer", "PASSIVE"), ("key", "passive")]),
            ("moving", &[ADDRESS, ("watch", "t"), ("re-resolve", "t")]),
            ("ignored", &[ADDRESS, ("watch", "f"), ("every", "30s")]),
            (
                "backoff",
                &[ADDRESS, ("backoff", "5s"), ("backoff-max", "5m")],
            ),
        ];
        for (name, pairs) in table {
            assert_eq!(rules(name, pairs), [], "{name}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        let long = "x".repeat(200);
        let passive = ("peer", "PASSIVE");
        let watch = ("watch", "t");
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [Rule]);
        let table: &[Row] = &[
            ("a", &[watch], &[Rule::NoAddress]),
            ("a\nb", &[ADDRESS], &[Rule::UnsendableName]),
            ("-a", &[ADDRESS], &[Rule::NameLikeOption]),
            (
                "a",
                &[passive, watch, ("connect", "x")],
                &[Rule::PassiveWith { key: "connect" }],
            ),
            (
                "a",
                &[passive, watch, ("knock", "x")],
                &[Rule::PassiveWith { key: "knock" }],
            ),
            (
                "s.a",
                &[passive, watch],
                &[Rule::KnockTag { name: "s.a".into() }],
            ),
            (
                "a",
                &[ADDRESS, watch, ("connect", "x"), ("knock", "y")],
                &[Rule::ConnectAndKnock],
            ),
            (
                "a",
                &[ADDRESS, watch, ("knock", "x"), ("every", "41s")],
                &[Rule::Slow {
                    every: 41,
                    timeout: 10,
                    retries: 5,
                }],
            ),
            (
                "a",
                &[
                    ADDRESS,
                    watch,
                    ("knock", "x"),
                    ("every", "1"),
                    ("retries", "1"),
                ],
                &[Rule::NoAttemptsLeft { retries: 1 }],
            ),
            (
                "a",
                &[ADDRESS, watch, ("connect", "x"), ("timeout", "5s")],
                &[Rule::Slow {
                    every: 30,
                    timeout: 5,
                    retries: 5,
                }],
            ),
            (
                "a",
                &[ADDRESS, watch, ("timeout", "2d"), ("retries", "4")],
                &[Rule::LateVerdict {
                    timeout: 172_800,
                    retries: 4,
                }],
            ),
            ("a", &[ADDRESS, ("knock", "x")], &[Rule::DynamicUnwatched]),
            (
                "a",
                &[ADDRESS, ("on-up", "/x")],
                &[Rule::Unwatched { key: "on-up" }],
            ),
            (
                "a",
                &[ADDRESS, ("timeout", "5s"), ("retries", "3")],
                &[Rule::Unwatched { key: "timeout" }],
            ),
            (
                "a",
                &[ADDRESS, ("backoff", "1m"), ("backoff-max", "30s")],
                &[Rule::BackoffMax {
                    first: 60,
                    longest: 30,
                }],
            ),
            (
                "a",
                &[("peer", "INET 192.0.2.1 1"), watch, ("re-resolve", "t")],
                &[Rule::NothingToResolve],
            ),
            (
                "a",
                &[passive, watch, ("re-resolve", "t")],
                &[Rule::NothingToResolve],
            ),
            (
                "a",
                &[ADDRESS, ("re-resolve", "t")],
                &[Rule::NothingToResolve],
            ),
            (
                "a",
                &[ADDRESS, ("x-y", "1"), ("x__y", "2")],
                &[Rule::SameVariable {
                    key: "x-y".into(),
                    other: "x__y".into(),
                    variable: "P_X_Y".into(),
                }],
            ),
            (
                "a",
                &[ADDRESS, ("key", &long)],
                &[Rule::LongCommand { length: 258 }],
            ),
        ];
        for (name, pairs, expected) in table {
            assert_eq!(rules(name, pairs), *expected, "{name} {pairs:?}");
        }
    }

    #[test]
    fn a_record_that_does_not_fit_into_a_message_is_an_error() {
        let notes = (0..20).map(|number| (format!("note{number}"), "x".repeat(60_000)));
        let address = [("peer".to_owned(), "INET hub.example.com 4070".to_owned())];
        let found = check(&Record::new("a", address.into_iter().chain(notes)));
        let [Rule::TooLarge { size }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(*size > 1_200_000, "{size}");
        assert_eq!(found[0].severity(), Severity::Error);
        let text = found[0].to_string();
        assert!(text.starts_with("the record is too large"), "{text}");
    }
}
