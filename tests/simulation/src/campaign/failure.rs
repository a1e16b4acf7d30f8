// SPDX-License-Identifier: GPL-3.0-or-later
//! What is made of a failure: the smallest plan that fails alike, recordings, and words.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use simulation::narrative;
use simulation::plan::Plan;
use simulation::promise::Broken;
use simulation::shrink::{Budget, Shrunk, shrink};

use super::work::{Play, Runner, Work};

/// How long a plan is made smaller.
const LIMIT: Duration = Duration::from_secs(120);

/// Where failures go: a directory for each.
const DIRECTORY: &str = "target/simulation";

/// The line that says what was broken.
pub(crate) fn headline(work: &Work, broken: &Broken) -> String {
    let sentence = broken.promise.sentence();
    format!("{} broke {broken}\n  ({sentence})\n", work.name())
}

/// Makes the plan of a failure smaller and plays it once more with recordings. Gives a report.
///
/// # Errors
/// If it cannot be played or written.
pub(crate) fn examine(
    work: &Work,
    broken: &Broken,
    play: &Play,
    runner: &mut impl Runner,
) -> Result<String> {
    let plan = work.plan();
    let shrunk = smaller(plan.clone(), broken, play, runner);
    let directory = directory(work);
    let recorded = Play {
        record: Some(directory.clone()),
        ..play.clone()
    };
    // Recordings of an earlier failure would be taken for some of this one.
    let emptied = std::fs::remove_dir_all(&directory);
    if let Err(error) = emptied
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot empty {}", directory.display()));
    }
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("plan.json");
    let text = serde_json::to_string_pretty(&shrunk.plan)?;
    std::fs::write(&path, text + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    let plan_again = Work::Plan(work.name(), Box::new(shrunk.plan.clone()));
    runner.run(&plan_again, &recorded)?;
    Ok(report(&plan, &shrunk, &directory, play.frames))
}

fn directory(work: &Work) -> PathBuf {
    let name = match work {
        Work::Seed(shape) if shape.is_usual() => shape.seed.to_string(),
        Work::Seed(shape) => {
            let (seed, hosts, peers) = (shape.seed, shape.hosts, shape.peers);
            let (hours, profile) = (shape.hours, shape.profile);
            format!("{seed}-{hosts}-{peers}-{hours}-{profile}")
        }
        Work::Plan(name, _) => {
            let path = Path::new(name);
            path.file_stem()
                .map_or("plan".into(), |it| it.to_string_lossy().into_owned())
        }
    };
    Path::new(DIRECTORY).join(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a failure must not hold up a campaign for long"
)]
fn smaller(plan: Plan, broken: &Broken, play: &Play, runner: &mut impl Runner) -> Shrunk {
    let begun = Instant::now();
    let mut run = |plan: &Plan| {
        let left = LIMIT.checked_sub(begun.elapsed())?;
        let work = Work::Plan("a smaller plan".to_owned(), Box::new(plan.clone()));
        // A run that is broken off is no failure, not even of one that had no end.
        runner.run_within(&work, play, left).ok()??.broken
    };
    shrink(plan, broken, &mut run, Budget::default())
}

/// What was left out, what is left, and where it is.
fn report(whole: &Plan, shrunk: &Shrunk, directory: &Path, frames: bool) -> String {
    let peers = |plan: &Plan| -> usize {
        let hosts = plan.site.hosts.iter();
        hosts.map(|host| host.records.len()).sum()
    };
    let plan = &shrunk.plan;
    let mut text = format!(
        "  shrunk to {} of {} faults, {} of {} hosts, {} of {} peers ({} runs):\n",
        plan.faults.len(),
        whole.faults.len(),
        plan.site.hosts.len(),
        whole.site.hosts.len(),
        peers(plan),
        peers(whole),
        shrunk.runs
    );
    let _ = writeln!(text, "    {}", shrunk.broken);
    for timed in &plan.faults {
        let _ = writeln!(text, "    {}", narrative::timed(timed));
    }
    let (directory, path) = (directory.display(), directory.join("plan.json"));
    let path = path.display();
    let frames = if frames { " --frames" } else { "" };
    let again = format!("cargo run --release -p simulation -- run{frames}");
    let _ = writeln!(
        text,
        "  recordings  {directory}/ (connect-core replay FILE)"
    );
    let _ = writeln!(text, "  again       {again} {path}");
    let kept = "tests/simulation/cases/a-sentence-that-names-it.json";
    let _ = writeln!(text, "  keep        cp {path} {kept}");
    text
}
