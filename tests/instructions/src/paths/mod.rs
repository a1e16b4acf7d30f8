// SPDX-License-Identifier: GPL-3.0-or-later
//! The hot paths, each to be run as often as wanted.

mod fan_out;
mod lines;
mod messages;
mod pings;
mod whole;

use std::hint::black_box;

use anyhow::Context as _;

/// One hot path.
pub(crate) struct Path {
    /// Its name, in the record as well.
    pub name: &'static str,
    /// How many runs give a steady figure.
    pub times: u32,
    /// Sets up and runs it so many times.
    run: fn(u32) -> anyhow::Result<()>,
}

/// All of them.
pub(crate) fn all() -> Vec<Path> {
    let lists = [
        lines::PATHS,
        messages::PATHS,
        pings::PATHS,
        whole::PATHS,
        fan_out::PATHS,
    ];
    lists
        .into_iter()
        .flatten()
        .map(|(name, times, run)| Path {
            name,
            times: *times,
            run: *run,
        })
        .collect()
}

/// A path as its file lists it.
type Listed = (&'static str, u32, fn(u32) -> anyhow::Result<()>);

/// Runs one path.
pub(crate) fn play(name: &str, times: u32) -> anyhow::Result<()> {
    let path = all().into_iter().find(|path| path.name == name);
    (path.with_context(|| format!("no path {name}"))?.run)(times)
}

/// Runs something that needs no setting up.
fn repeat<T>(times: u32, mut act: impl FnMut() -> T) {
    for _ in 0..times {
        black_box(act());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_runs() {
        for path in all() {
            (path.run)(3).unwrap();
        }
    }
}
