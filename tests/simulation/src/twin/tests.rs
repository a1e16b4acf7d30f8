// SPDX-License-Identifier: GPL-3.0-or-later
//! The twins themselves: what is spoilt on purpose is found.

use std::sync::Arc;

use peerdb::Database;

use super::differences::explanation;
use super::provider::{Act, News, Provider};
use super::tolerances::Tolerances;
use super::{compare, manual, play, product, sites};
use crate::world;

/// In how many histories something spoilt has to be found.
const HISTORIES: u64 = 25;

/// The product, but for what is spoilt.
struct Spoilt {
    product: product::Product,
    spoil: fn(Act) -> Option<Act>,
    /// Whether it is told that its host was suspended.
    is_told: bool,
}

impl Provider for Spoilt {
    fn start(&mut self, database: Arc<Database>, now: u64) {
        self.product.start(database, now);
    }

    fn leave(&mut self, now: u64) {
        self.product.leave(now);
    }

    fn lost(&mut self, now: u64) {
        self.product.lost(now);
    }

    fn slept(&mut self, seconds: u64, now: u64) {
        if self.is_told {
            self.product.slept(seconds, now);
        }
    }

    fn lines(&mut self, lines: &[String], now: u64) {
        self.product.lines(lines, now);
    }

    fn database(&mut self, read: Result<Arc<Database>, String>, now: u64) {
        self.product.database(read, now);
    }

    fn child(&mut self, id: u64, news: News, now: u64) {
        self.product.child(id, news, now);
    }

    fn time(&mut self, now: u64) {
        self.product.time(now);
    }

    fn next_deadline(&mut self) -> Option<u64> {
        self.product.next_deadline()
    }

    fn acts(&mut self) -> Vec<Act> {
        let acts = self.product.acts().into_iter();
        acts.filter_map(self.spoil).collect()
    }
}

/// In which of the first histories something unnamed comes of what is spoilt.
fn found(spoil: fn(Act) -> Option<Act>) -> Option<u64> {
    found_if(true, spoil)
}

fn found_if(is_told: bool, spoil: fn(Act) -> Option<Act>) -> Option<u64> {
    (0..HISTORIES).find(|seed| {
        let history = sites::history(*seed);
        let tolerances = Tolerances::default();
        let spoilt = |now| {
            let product = product::Product::new(history.startup, now);
            Spoilt {
                product,
                spoil,
                is_told,
            }
        };
        let spoilt = play::play(&history, spoilt, world::Provider::Product, &tolerances).unwrap();
        let manual = |_| manual::Manual::new(history.startup);
        let manual = play::play(&history, manual, world::Provider::Manual, &tolerances).unwrap();
        let divergences = compare::compare(&spoilt, &manual, &history, &tolerances);
        let mut divergences = divergences.iter();
        let is_unnamed = |it: &compare::Divergence| explanation(it, &history).is_none();
        !spoilt.faults.is_empty() || divergences.any(is_unnamed)
    })
}

/// Has lines changed.
fn line(act: Act, change: impl Fn(&str) -> String) -> Option<Act> {
    Some(match act {
        Act::Line(line) => Act::Line(change(&line)),
        other => other,
    })
}

/// A line that the server takes and that says nothing.
const NOTHING: &str = "SVCLIST";

fn without(act: Act, part: &str) -> Option<Act> {
    line(act, |line| match line.contains(part) {
        true => NOTHING.to_owned(),
        false => line.to_owned(),
    })
}

#[test]
fn nothing_is_found_where_nothing_is_spoilt() {
    assert_eq!(found(Some), None);
}

#[test]
fn a_suspension_that_it_does_not_know_of_is_found() {
    assert!(found_if(false, Some).is_some());
}

#[test]
fn a_service_that_does_not_look_for_peers_is_found() {
    assert!(found(|act| without(act, "LIST")).is_some());
}

#[test]
fn a_recovery_that_is_not_told_is_found() {
    assert!(found(|act| without(act, "WARN connect ping-ok")).is_some());
}

#[test]
fn an_attempt_that_is_not_told_is_found() {
    assert!(found(|act| without(act, " attempt 1 of ")).is_some());
}

#[test]
fn attempts_that_are_counted_wrongly_are_found() {
    let spoil = |act| line(act, |line| line.replace(" attempt 2 of ", " attempt 3 of "));
    assert!(found(spoil).is_some());
}

#[test]
fn a_peer_that_is_not_killed_is_found() {
    assert!(found(|act| without(act, "KILL static")).is_some());
}

#[test]
fn a_reconnection_that_is_not_told_is_found() {
    assert!(found(|act| without(act, "WARN connect reconnecting")).is_some());
}

#[test]
fn an_update_that_is_not_told_is_found() {
    assert!(found(|act| without(act, "NOTIFY connect peerdb-update")).is_some());
}

#[test]
fn an_option_that_is_left_out_is_found() {
    let spoil = |act| line(act, |line| line.replace(" -mobile ", " "));
    assert!(found(spoil).is_some());
}

#[test]
fn a_figure_that_is_wrong_is_found() {
    let spoil = |act| line(act, |line| line.replace(" n-ping=", " n-ping=1"));
    assert!(found(spoil).is_some());
}

#[test]
fn a_job_that_fails_is_found() {
    let spoil = |act| {
        line(act, |line| match line.strip_prefix("SVCOK ") {
            Some(job) => format!("SVCFAIL {job} no"),
            None => line.to_owned(),
        })
    };
    assert!(found(spoil).is_some());
}

#[test]
fn pings_that_wait_longer_are_found() {
    let spoil = |act| line(act, |line| line.replace(" -timeout 2 ", " -timeout 20 "));
    assert!(found(spoil).is_some());
}

#[test]
fn a_script_that_is_not_run_is_found() {
    let spoil = |act| match act {
        Act::Start(start) if start.argv[0] == "down" => None,
        other => Some(other),
    };
    assert!(found(spoil).is_some());
}

#[test]
fn a_wrong_argument_is_found() {
    let spoil = |act| {
        Some(match act {
            Act::Start(mut start) if start.argv[0] == "up" => {
                start.argv.pop();
                Act::Start(start)
            }
            other => other,
        })
    };
    assert!(found(spoil).is_some());
}

#[test]
fn a_wrong_variable_is_found() {
    let spoil = |act| {
        Some(match act {
            Act::Start(mut start) => {
                start.environment.retain(|(name, _)| name != "A_HASH");
                Act::Start(start)
            }
            other => other,
        })
    };
    assert!(found(spoil).is_some());
}
