// SPDX-License-Identifier: GPL-3.0-or-later
//! The sources as they are, against the list of what is known not to be as it should; and the table
//! of dependencies against the workspace.

use std::path::Path;

#[test]
fn the_sources_are_as_they_should_be_except_for_what_is_known() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let known = include_str!("../known.txt");
    let differences = house::differences(&house::findings(&root)?, known);
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    Ok(())
}

/// With `UPDATE_PAGES` set, the examples are made again.
#[test]
fn the_examples_of_a_version_that_is_not_released_are_as_the_fixtures() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        house::released::update(&root)?;
    }
    let stale = house::released::stale(&root)?;
    assert!(
        stale.is_empty(),
        "the fixtures have changed: UPDATE_PAGES=1 cargo test -p house -- released; {stale:?}"
    );
    Ok(())
}

#[test]
fn every_dependency_of_the_workspace_has_its_row_in_the_architecture() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let page = std::fs::read_to_string(root.join("docs/development/architecture.md"))?;
    let (_, table) = page
        .split_once("## Dependencies")
        .ok_or_else(|| anyhow::anyhow!("the page has no section \"Dependencies\""))?;
    let first_cells = table.lines().filter_map(|line| line.split('|').nth(1));
    let mut named: Vec<&str> = first_cells
        .flat_map(|cell| cell.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != "Crate" && !name.starts_with('-'))
        .collect();
    let mut used: Vec<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("path ="))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .collect();
    named.sort_unstable();
    used.sort_unstable();
    assert_eq!(named, used);
    Ok(())
}
