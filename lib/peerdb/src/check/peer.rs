// SPDX-License-Identifier: GPL-3.0-or-later
//! Checks of one peer's keys taken together.

use std::collections::BTreeMap;

use tripe_admin::session::MAX_SENT;
use tripe_admin::{Interval, Words, token};

use super::rule::Rule;
use crate::record::Record;

/// `timeout` in seconds where it is not assigned (connect(8)).
const TIMEOUT: u32 = 10;

/// `retries` where it is not assigned (connect(8)).
const RETRIES: u32 = 5;

/// `every` in seconds for a dynamic peer where it is not assigned (connect(8)).
const EVERY: u32 = 30;

/// The command for adding a peer, up to its options, with a tag as long as one is ever likely to
/// be.
const ADD: [&str; 3] = ["ADD", "-background", "J9999999"];

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
        // A knock gives the peer's name, and the tag in it must be the recorded one (connect(8),
        // `knock-tag-mismatch`); with a prefix, the whole name is no tag.
        if record.name().contains('.') && !has("key") {
            let name = record.name().to_owned();
            rules.push(Rule::KnockTag { name });
        }
    }
}

/// How the peer is pinged, and what becomes of it when it does not answer.
fn watching(record: &Record, rules: &mut Vec<Rule>) {
    let has = |key: &str| record.get(key).is_some();
    // A value that is no interval is told of by itself.
    let interval = |key: &str| record.interval(key).ok().flatten().map(Interval::seconds);
    if let (Some(first), Some(longest)) = (interval("backoff"), interval("backoff-max"))
        && longest < first
    {
        rules.push(Rule::BackoffMax);
    }
    let dynamic = has("connect") || has("knock");
    if !record.flag("watch") {
        if dynamic {
            rules.push(Rule::DynamicUnwatched);
        } else if !has("watch") {
            // With `watch` assigned and false, somebody has thought of it.
            let key = ["every", "timeout", "retries"]
                .into_iter()
                .find(|key| has(key));
            rules.extend(key.map(|key| Rule::Unwatched { key }));
        }
        return;
    }
    let retries = record.integer("retries", 1..=u32::MAX).ok().flatten();
    let longest = interval("timeout")
        .unwrap_or(TIMEOUT)
        .saturating_mul(retries.unwrap_or(RETRIES) - 1);
    let every = interval("every").unwrap_or(EVERY);
    if dynamic && every > longest {
        rules.push(Rule::Slow { every, longest });
    }
}

/// The command that adds the peer.
fn command(record: &Record, rules: &mut Vec<Rule>) {
    let mut words: Vec<String> = ADD.map(str::to_owned).to_vec();
    for key in ["tunnel", "keepalive", "key", "priv", "knock"] {
        if let Some(value) = record.get(key) {
            words.extend([format!("-{key}"), value.to_owned()]);
        }
    }
    let flags = ["cork", "mobile", "ephemeral"];
    words.extend(
        flags
            .into_iter()
            .filter(|key| record.flag(key))
            .map(|key| format!("-{key}")),
    );
    words.push(record.name().to_owned());
    // A passive peer's address is only known later; an IPv6 address is the longest it can be.
    let address = if record.is_passive() {
        "INET6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"
    } else {
        record.get("peer").unwrap_or_default()
    };
    words.extend(Words::new(address).owned());
    let length = token::join(words).len();
    if length > MAX_SENT {
        rules.push(Rule::LongCommand { length });
    }
}

/// The environment variables that scripts get (connect(8), "Configuring interfaces").
fn variables(record: &Record, rules: &mut Vec<Rule>) {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (key, _) in record.iter() {
        let variable = variable(key);
        if let Some(first) = known.get(&variable) {
            rules.push(Rule::SameVariable {
                key: (*first).to_owned(),
                other: key.to_owned(),
                variable,
            });
        } else {
            known.insert(variable, key);
        }
    }
}

/// The name of the variable for a key: upper case, with each run of other characters than letters
/// and digits made an underscore.
fn variable(key: &str) -> String {
    let mut name = String::from("P_");
    let mut gap = false;
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_uppercase());
            gap = false;
        } else if !gap {
            name.push('_');
            gap = true;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    longest: 40,
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
                &[Rule::Slow {
                    every: 1,
                    longest: 0,
                }],
            ),
            (
                "a",
                &[ADDRESS, watch, ("connect", "x"), ("timeout", "5s")],
                &[Rule::Slow {
                    every: 30,
                    longest: 20,
                }],
            ),
            ("a", &[ADDRESS, ("knock", "x")], &[Rule::DynamicUnwatched]),
            (
                "a",
                &[ADDRESS, ("timeout", "5s"), ("retries", "3")],
                &[Rule::Unwatched { key: "timeout" }],
            ),
            (
                "a",
                &[ADDRESS, ("backoff", "1m"), ("backoff-max", "30s")],
                &[Rule::BackoffMax],
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
    fn variables_are_named_as_the_manual_says() {
        for (key, name) in [
            ("ifname", "P_IFNAME"),
            ("cipher-blksz", "P_CIPHER_BLKSZ"),
            ("a - b", "P_A_B"),
            ("\u{e9}", "P__"),
        ] {
            assert_eq!(variable(key), name);
        }
    }
}
