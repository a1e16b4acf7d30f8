// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts an earlier script helper has left under way or waiting, while no helper is
//! connected or there is no service: the journal of scripts says so.

use std::io;
use std::path::Path;

use connect_runtime::scripts_journal::{self, Glance, Stage, Unfinished};

use super::finding::Section;
use crate::output::text;

/// How many scripts are named for each thing that is told of them.
const NAMED: usize = 10;

/// Tells what the journal in this directory says. `start` is the command that starts a script
/// helper, which then continues with these scripts.
pub(super) fn check(directory: &Path, start: &str, section: &mut Section<'_>) {
    match scripts_journal::look(directory) {
        Ok(glance) => report(directory, &glance, start, section),
        // No script helper has begun since the boot.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => section.warning(
            format!(
                "cannot read the journal of scripts in {} ({error}), so it is not known which \
                 scripts run or wait",
                directory.display()
            ),
            "run `connect-cli doctor' as root, or as the user of the script helper",
        ),
    }
}

fn report(directory: &Path, glance: &Glance, start: &str, section: &mut Section<'_>) {
    let (mut run, mut wait, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut process = None;
    for script in &glance.unfinished {
        match script.stage {
            Stage::Runs(child) => {
                process.get_or_insert(child.pid);
                run.push(format!("{} (process {})", name(script), child.pid));
            }
            Stage::Starting => run.push(format!("{} (just being started)", name(script))),
            Stage::Waits => wait.push(name(script)),
            Stage::HasEnded => ended.push(name(script)),
        }
    }
    let hangs = process.map_or_else(String::new, |pid| {
        format!("; to end a script that hangs, use its process number: `kill -TERM -- -{pid}'")
    });
    let parts = [
        (
            run,
            ["is under way", "are under way"],
            format!("{start}: it waits until they have ended{hangs}"),
        ),
        (
            wait,
            ["waits", "wait"],
            format!("{start}: until then nothing runs them"),
        ),
        (
            ended,
            [
                "has ended, but nobody knows how",
                "have ended, but nobody knows how",
            ],
            format!(
                "{start}, then check whether each peer is as it should be: `connect-cli info \
                 PEER'"
            ),
        ),
    ];
    for (scripts, verbs, remedy) in parts {
        if !scripts.is_empty() {
            section.warning(sentence(&scripts, verbs), &remedy);
        }
    }
    if glance.is_damaged {
        section.warning(
            format!(
                "the journal of scripts in {} cannot be read completely, so more scripts may run \
                 or wait",
                directory.display()
            ),
            &format!("{start}; `connect-cli doctor' then says what is wrong with it"),
        );
    }
}

/// A script in words.
fn name(script: &Unfinished) -> String {
    format!("{} of {}", script.kind.name(), script.peer)
}

/// `2 scripts wait: ifup of a, ifdown of a`
fn sentence(scripts: &[String], [one, many]: [&str; 2]) -> String {
    let count = text::count(scripts.len(), "script");
    let verb = if scripts.len() == 1 { one } else { many };
    let named: Vec<&str> = scripts.iter().take(NAMED).map(String::as_str).collect();
    let rest = match scripts.len().saturating_sub(NAMED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{count} {verb}: {}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_scripts_are_named_and_the_rest_is_counted() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        assert_eq!(sentence(&names(1), ["runs", "run"]), "1 script runs: 0");
        assert_eq!(sentence(&names(2), ["runs", "run"]), "2 scripts run: 0, 1");
        let many = sentence(&names(NAMED + 3), ["runs", "run"]);
        assert!(many.starts_with("13 scripts run: 0, 1"), "{many}");
        assert!(many.ends_with(", 9 and 3 more"), "{many}");
    }
}
