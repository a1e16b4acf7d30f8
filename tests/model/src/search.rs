// SPDX-License-Identifier: GPL-3.0-or-later
//! The search: every state that can be reached is looked at once.

use std::collections::HashSet;

use crate::world::{Step, World};

/// After how many steps the search says how far it is.
const PROGRESS: usize = 1_000_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// How many states there are.
    pub states: usize,
    /// How many of them are at rest.
    pub at_rest: usize,
    /// How many steps were taken between them.
    pub steps: usize,
}

/// Looks at every state that can be reached from `start`.
///
/// # Errors
/// What is broken, and the steps that lead there.
pub fn search(start: World) -> Result<Found, String> {
    let mut found = Found::default();
    let mut seen = HashSet::from([start.key()]);
    // Each with the steps that it has left.
    let mut path: Vec<(World, Vec<Step>)> = Vec::new();
    let mut taken: Vec<Step> = Vec::new();
    enter(start, &mut path, &mut found).map_err(|error| tell(&error, &taken))?;
    while let Some((world, left)) = path.last_mut() {
        let Some(step) = left.pop() else {
            path.pop();
            taken.pop();
            continue;
        };
        let mut next = world.clone();
        next.take(step);
        found.steps += 1;
        if found.steps % PROGRESS == 0 {
            println!("{found:?}, {} steps deep", taken.len());
        }
        if seen.insert(next.key()) {
            taken.push(step);
            enter(next, &mut path, &mut found).map_err(|error| tell(&error, &taken))?;
        }
    }
    Ok(found)
}

fn enter(
    world: World,
    path: &mut Vec<(World, Vec<Step>)>,
    found: &mut Found,
) -> Result<(), String> {
    found.states += 1;
    let told = |error| format!("{error}\n{}", world.describe());
    world.check().map_err(told)?;
    if world.moves().is_empty() {
        found.at_rest += 1;
        world.check_at_rest().map_err(told)?;
    }
    let steps = world.steps();
    path.push((world, steps));
    Ok(())
}

fn tell(error: &str, taken: &[Step]) -> String {
    let steps: Vec<String> = taken.iter().map(|step| format!("{step:?}")).collect();
    format!("{error}, after:\n  {}", steps.join("\n  "))
}
