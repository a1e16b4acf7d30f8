// SPDX-License-Identifier: GPL-3.0-or-later
//! Pages of the documentation: each says for whom it is, its commands are run or it says why not,
//! its diagrams are made from their present source, the page of metrics has every series, that of
//! alerts every rule, and the file of settings what units and programs read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Findings;
use crate::links::{DIRECTORIES, pages_in, read};

/// How the first line of a page's text begins.
const FOR_WHOM: &str = "For ";

/// What stands before a block of commands that nobody runs.
const NOT_RUN: &str = "<!-- not run: ";

/// The pages whose other blocks `packaging/symptoms` runs. Before each is a comment that it uses.
const TRIED: [&str; 3] = [
    "docs/guide/hosts.md",
    "docs/guide/operators.md",
    "docs/guide/troubleshooting.md",
];

/// The settings of `/etc/default/tripe-connect`, from the first release on.
const SETTINGS: [&str; 9] = [
    "TRIPEDIR",
    "TRIPESOCK",
    "TRIPEPEERDB",
    "TRIPE_CONNECT_LOG_LEVEL",
    "CORE_OPTIONS",
    "PINGER_OPTIONS",
    "IFSCRIPTS_OPTIONS",
    "METRICS_OPTIONS",
    "METRICS_LISTEN",
];

/// Blocks that `packaging/pair` runs, by the host on which it does.
const RUN_BY_PAIR: [&str; 3] = ["```sh gate", "```sh hub", "```sh both"];

/// Adds what is missing in the pages.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    for directory in DIRECTORIES {
        for page in pages_in(&root.join(directory))? {
            let text = read(&page)?;
            let name = page.strip_prefix(root).unwrap_or(&page).display();
            if !says_for_whom(&text) {
                let finding = format!("page for nobody: {name}");
                let why =
                    format!("the first line below the title does not begin with {FOR_WHOM:?}");
                findings.insert(finding, why);
            }
            if directory == "docs/guide" {
                let is_tried = TRIED.iter().any(|tried| page.ends_with(tried));
                let lines = unmarked(&text, is_tried);
                if !lines.is_empty() {
                    let finding = format!("commands that nobody runs: {name}");
                    let why = "put `<!-- not run: REASON -->' before these blocks";
                    findings.insert(finding, format!("lines {lines:?}: {why}"));
                }
            }
        }
    }
    check_metrics(root, findings)?;
    check_settings(root, findings)?;
    check_alerts(root, findings)
}

/// Whether the first line below the title names the readers.
fn says_for_whom(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    lines.next().is_some_and(|line| line.starts_with("# "))
        && lines.next().is_some_and(|line| line.starts_with(FOR_WHOM))
}

/// The lines at which blocks of commands begin that are neither run by a script nor marked.
fn unmarked(text: &str, is_tried: bool) -> Vec<usize> {
    let mut inside = false;
    let mut before = "";
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("```") {
            let is_commands = line.starts_with("```sh") || line.starts_with("```console");
            let is_marked = RUN_BY_PAIR.contains(&line)
                || before.starts_with(NOT_RUN)
                || (is_tried && before == "-->");
            if !inside && is_commands && !is_marked {
                found.push(number);
            }
            inside = !inside;
        }
        before = line;
    }
    found
}

/// The page of metrics has each family that `connect-cli metrics` gives, and no other.
fn check_metrics(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let page = read(&root.join("docs/reference/metrics.md"))?;
    let mut sources = String::new();
    for file in ["collect.rs", "peers.rs"] {
        sources += &read(&root.join("connect-cli/src/commands/metrics").join(file))?;
    }
    let rows: Vec<&str> = between(&page, "\n| `tripe_connect_", "`").collect();
    // What the name in the page has beside that of the family, by its kind.
    let is_of = |row: &str, name: &str| {
        let suffix = row.strip_prefix(name);
        suffix.is_some_and(|suffix| ["", "_total", "_info", "_count"].contains(&suffix))
    };
    for name in families(&sources) {
        if !rows.iter().any(|row| is_of(row, name)) {
            let finding = format!("metric without its row: {name}");
            findings.insert(finding, "add it to docs/reference/metrics.md".to_owned());
        }
    }
    for row in rows {
        if !families(&sources).any(|name| is_of(row, name)) {
            let finding = format!("row without its metric: {row}");
            findings.insert(
                finding,
                "remove it from docs/reference/metrics.md".to_owned(),
            );
        }
    }
    Ok(())
}

/// Each setting of the units, which operators have in a file that upgrades leave alone, is read by
/// a unit or by a program.
fn check_settings(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let offered = read(&root.join("packaging/default/tripe-connect"))?;
    let offered: BTreeSet<&str> = between(&offered, "\n#", "=")
        .filter(|name| name.chars().all(|it| it.is_ascii_uppercase() || it == '_'))
        .collect();
    let frozen = BTreeSet::from(SETTINGS);
    for name in offered.symmetric_difference(&frozen) {
        let finding = format!("setting that came or went: {name}");
        findings.insert(finding, "keep it, or correct SETTINGS".to_owned());
    }
    let mut readers = String::new();
    for unit in ["", "-pinger", "-ifscripts", "-metrics"] {
        let unit = format!("packaging/systemd/tripe-connect{unit}.service");
        readers += &read(&root.join(unit))?;
    }
    for file in ["paths.rs", "logging.rs"] {
        readers += &read(&root.join("lib/runtime/src").join(file))?;
    }
    for name in SETTINGS {
        let is_read = [format!("${name}"), format!("\"{name}\"")];
        if !is_read.iter().any(|text| readers.contains(text)) {
            let finding = format!("setting that nobody reads: {name}");
            findings.insert(finding, "have a unit or lib/runtime read it".to_owned());
        }
    }
    Ok(())
}

/// The page of alerts has a row for each rule, and for nothing else.
fn check_alerts(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let rules = read(&root.join("packaging/prometheus/alerts.yml"))?;
    let page = read(&root.join("docs/guide/alerts.md"))?;
    let rules: BTreeSet<&str> = between(&rules, "- alert: ", "\n").collect();
    let rows: BTreeSet<&str> = between(&page, "\n| `", "`").collect();
    for name in rules.symmetric_difference(&rows) {
        let finding = format!("alert without its row, or row without its alert: {name}");
        findings.insert(finding, "correct docs/guide/alerts.md".to_owned());
    }
    Ok(())
}

/// What stands between two texts, each time that the first of them occurs.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before)
        .skip(1)
        .filter_map(move |rest| rest.split(after).next())
}

/// The names of the families of metrics that a file of sources defines.
fn families(source: &str) -> impl Iterator<Item = &str> {
    source
        .split(": Family = ")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_readers_below_the_title() {
        assert!(says_for_whom("# T\n\nFor operators: all.\n"));
        assert!(!says_for_whom("# T\n\nAll.\n\nFor operators.\n"));
    }

    #[test]
    fn blocks_of_commands_are_run_or_marked() {
        let text = "```sh gate\na\n```\n<!-- not run: no root -->\n```sh\na\n```\n```text\na\n```\n\
                    <!-- try\n-->\n```console\n$ a\n```\n\n```sh\na\n```\n";
        assert_eq!(unmarked(text, true), [17]);
        assert_eq!(unmarked(text, false), [13, 17]);
    }

    #[test]
    fn what_stands_between_two_texts_is_found_each_time() {
        let rules = "  - alert: A\n    expr: x\n  - alert: B\n";
        assert_eq!(
            between(rules, "- alert: ", "\n").collect::<Vec<_>>(),
            ["A", "B"]
        );
    }

    #[test]
    fn families_are_found_in_sources() {
        let source = "const A: Family = gauge(\n    \"a_b\",\n    \"Text.\",\n);\nconst C: Family = info(\"c\", \"T\");";
        assert_eq!(families(source).collect::<Vec<_>>(), ["a_b", "c"]);
    }
}
