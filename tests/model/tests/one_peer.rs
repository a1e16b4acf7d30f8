// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer that comes and goes, and processes that are killed between any two of their steps.

use model::scope::{Limits, Scope};
use model::search::search;
use model::world::World;

/// The limits of another search, as `SCOPE EVENTS DEATHS SAVES RESTARTS`, if one is wanted: `SCOPE`
/// is `interface`, `connection`, `both`, `operator` or `hooks`, and with 0 for `RESTARTS` the
/// server is never started again.
const LIMITS: &str = "MODEL_LIMITS";

/// A promise that is broken, shown line by line.
#[derive(PartialEq)]
struct Broken(String);

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn look(limits: Limits) -> Result<(), String> {
    let new = World::new(limits);
    let worlds = match limits.scope {
        Scope::Hooks => vec![new.clone().begun(), new.begun_up()],
        _ => vec![new],
    };
    for world in worlds {
        let found = search(world).map_err(|error| format!("{limits:?}: {error}"))?;
        println!("{limits:?}: {found:?}");
        assert!(found.at_rest > 1, "{found:?}");
    }
    Ok(())
}

/// The limits that `text` asks for.
fn wanted(text: &str) -> Result<Limits, String> {
    let words: Vec<&str> = text.split(' ').collect();
    let [scope, numbers @ ..] = words.as_slice() else {
        return Err("it is empty".to_owned());
    };
    let numbers: Vec<u32> = numbers.iter().filter_map(|it| it.parse().ok()).collect();
    let [events, deaths, saves, restarts] = numbers.as_slice() else {
        return Err("a scope and four numbers are wanted".to_owned());
    };
    let amounts = [*events, *deaths, *saves];
    Ok(Limits::new(scope.parse()?, amounts, *restarts > 0))
}

/// Searches what the variable asks for, or these events, deaths and saved states, with or without
/// restarts of the server.
fn look_at(scope: Scope, searches: &[([u32; 3], bool)]) -> Result<(), String> {
    let Ok(text) = std::env::var(LIMITS) else {
        let mut searches = searches.iter();
        return searches
            .try_for_each(|(amounts, restarts)| look(Limits::new(scope, *amounts, *restarts)));
    };
    let limits = wanted(&text).map_err(|error| format!("{LIMITS}: {error}"))?;
    // One of the tests searches it, and the others have nothing to do.
    if limits.scope == scope {
        look(limits)?;
    }
    Ok(())
}

#[test]
fn every_order_of_events_and_deaths_keeps_the_promises() {
    let found = look_at(Scope::Interface, &[([2, 0, 0], true), ([1, 1, 1], true)]);
    assert_eq!(found.map_err(Broken), Ok(()));
}

#[test]
fn connect_and_disconnect_are_run_like_ifup_and_ifdown() {
    // .ci/full has what takes longer.
    let found = look_at(Scope::Connection, &[([2, 0, 0], true), ([1, 1, 1], true)]);
    assert_eq!(found.map_err(Broken), Ok(()));
}

#[test]
fn connect_waits_for_ifup_and_each_lane_keeps_its_promises() {
    let found = look_at(Scope::Both, &[([1, 1, 0], true)]);
    assert_eq!(found.map_err(Broken), Ok(()));
}

#[test]
fn what_an_operator_runs_is_run_once_and_disturbs_no_pair() {
    let found = look_at(Scope::Operator, &[([2, 0, 0], true)]);
    assert_eq!(found.map_err(Broken), Ok(()));
}

#[test]
fn hooks_are_run_once_and_in_turns_between_ifup_and_ifdown() {
    // .ci/full has what takes longer.
    let searches = [([1, 0, 0], true), ([1, 1, 0], false)];
    assert_eq!(look_at(Scope::Hooks, &searches).map_err(Broken), Ok(()));
}
