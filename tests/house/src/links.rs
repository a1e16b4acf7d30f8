// SPDX-License-Identifier: GPL-3.0-or-later
//! Links: a link from one of our pages to another place of ours leads to a file that exists, and to
//! a heading that this file has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Findings;

/// Where the pages are, beside those in the root of the workspace.
pub(crate) const DIRECTORIES: [&str; 4] =
    ["docs", "docs/guide", "docs/reference", "docs/development"];

/// Adds a finding for each link in the Markdown files that leads nowhere.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut pages = pages_in(root)?;
    for directory in DIRECTORIES {
        pages.extend(pages_in(&root.join(directory))?);
    }
    for page in pages {
        let text = read(&page)?;
        let directory = page.parent().unwrap_or(root);
        let name = page.strip_prefix(root).unwrap_or(&page).display();
        for target in targets(&text) {
            if let Some(why) = leads_nowhere(&page, directory, target)? {
                findings.insert(format!("link to nothing: {name} {target}"), why.to_owned());
            }
        }
    }
    Ok(())
}

/// Why a link of a page leads nowhere, or `None` if it does lead somewhere.
fn leads_nowhere(
    page: &Path,
    directory: &Path,
    target: &str,
) -> anyhow::Result<Option<&'static str>> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        page.to_path_buf()
    } else {
        directory.join(file)
    };
    if !path.exists() {
        return Ok(Some("there is no such file"));
    }
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    if anchor.is_empty() || !is_page || anchors(&read(&path)?).contains(anchor) {
        return Ok(None);
    }
    Ok(Some("the page has no such heading"))
}

pub(crate) fn read(page: &Path) -> anyhow::Result<String> {
    fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))
}

/// The Markdown files of one directory.
pub(crate) fn pages_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut pages = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    Ok(pages)
}

/// What a page links to, but for other sites.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        .filter(|target| !target.is_empty())
}

/// The anchors of a page: its headings in lower case, without punctuation, and with hyphens in
/// place of spaces, as the usual viewers make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        anchors.insert(anchor);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_places_of_ours_are_looked_at() {
        let text = "[a](b.md#c) [d](#e) [f](https://example.org/) ![g](h/i.svg)";
        assert_eq!(
            targets(text).collect::<Vec<_>>(),
            ["b.md#c", "#e", "h/i.svg"]
        );
    }

    #[test]
    fn headings_are_anchors_and_lines_of_blocks_are_not() {
        let text = "# The manual's `--letter`\n```sh\n# a comment\n```\n## 2. It is well?";
        let expected = ["2-it-is-well", "the-manuals---letter"];
        assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
    }
}
