// SPDX-License-Identifier: GPL-3.0-or-later
//! One peer that comes and goes, and processes that are killed between any two of their steps.

use model::search::search;
use model::world::{Limits, World};

/// The limits of another search, as `EVENTS DEATHS SAVES RESTARTS`, if one is wanted:
/// with 0 for `RESTARTS` the server is never started again.
const LIMITS: &str = "MODEL_LIMITS";

fn look(events: u32, deaths: u32, saves: u32, restarts: bool) -> Result<(), String> {
    let limits = Limits {
        events,
        deaths,
        saves,
        restarts,
        startup: true,
    };
    let found = search(World::new(limits))?;
    println!("{limits:?}: {found:?}");
    assert!(found.at_rest > 1, "{found:?}");
    Ok(())
}

#[test]
fn every_order_of_events_and_deaths_keeps_the_promises() {
    let wanted = std::env::var(LIMITS).unwrap_or_default();
    let words = wanted.split(' ').filter_map(|word| word.parse().ok());
    let found = match words.collect::<Vec<u32>>().as_slice() {
        [events, deaths, saves, restarts] => look(*events, *deaths, *saves, *restarts > 0),
        _ => look(2, 0, 0, true).and_then(|()| look(1, 1, 1, true)),
    };
    if let Err(error) = found {
        panic!("{error}");
    }
}
