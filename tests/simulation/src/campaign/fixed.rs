// SPDX-License-Identifier: GPL-3.0-or-later
//! The runs that must pass at each change: seeds of a list, and plans that have failed once.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::work::Work;

/// The runs that are fixed, in a directory as `tests/simulation` is.
///
/// # Errors
/// If one of the files cannot be read.
pub(crate) fn work(directory: &Path) -> Result<Vec<Work>> {
    let mut work = seeds(&directory.join("seeds.txt"))?;
    let mut cases: Vec<PathBuf> = Vec::new();
    let kept = directory.join("cases");
    if kept.is_dir() {
        for entry in std::fs::read_dir(&kept)? {
            cases.push(entry?.path());
        }
    }
    cases.retain(|path| path.extension().is_some_and(|it| it == "json"));
    cases.sort();
    for path in cases {
        work.push(case(&path)?);
    }
    Ok(work)
}

/// The directory of this package.
pub(crate) fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A plan that is kept.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn case(path: &Path) -> Result<Work> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let plan = serde_json::from_str(&text).with_context(|| format!("{name} is no plan"))?;
    Ok(Work::Plan(name.to_string(), Box::new(plan)))
}

fn seeds(path: &Path) -> Result<Vec<Work>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let shape = line.parse();
            let shape = shape.with_context(|| format!("{name}, line {}", number + 1))?;
            Ok(Work::Seed(shape))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_seeds_and_every_kept_plan_can_be_read() {
        let work = work(directory()).unwrap();
        let seeds = work.iter().filter(|it| matches!(it, Work::Seed(_))).count();
        assert_eq!(seeds, 349);
    }
}
