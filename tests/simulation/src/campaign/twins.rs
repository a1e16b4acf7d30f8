// SPDX-License-Identifier: GPL-3.0-or-later
//! Plays histories to the product and to the service of the manual, and says where they differ.

use std::collections::BTreeMap;

use anyhow::{Error, Result};
use simulation::twin::sites::history;
use simulation::twin::{judge, shrink};

/// Plays the histories of these seeds. Gives whether they differ only in what is named.
///
/// # Errors
/// If one of the two talks without end.
pub(crate) fn play(seeds: impl Iterator<Item = u64>) -> Result<bool> {
    let (mut failures, mut met) = (0u64, BTreeMap::<&str, u64>::new());
    let mut count = 0u64;
    for seed in seeds {
        count += 1;
        let history = history(seed);
        let verdict = judge(&history).map_err(Error::msg)?;
        for name in verdict.met.into_iter().chain(verdict.tolerated) {
            *met.entry(name).or_default() += 1;
        }
        if verdict.unnamed.is_empty() {
            continue;
        }
        failures += 1;
        println!("history {seed} has differences without a name:");
        for sentence in verdict.unnamed {
            println!("  {sentence}");
        }
        let smallest = shrink(&history).map_err(Error::msg)?;
        println!("  shrunk to {:#?}", smallest.stimuli);
    }
    for (name, histories) in met {
        println!("{name:<48} {histories:>8}");
    }
    println!("{count} histories, {failures} with differences without a name");
    Ok(failures == 0)
}
