// SPDX-License-Identifier: GPL-3.0-or-later
//! Links: a link from one of our pages to another file of ours leads to a file that exists.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Findings;

/// Adds a finding for each link in the Markdown files that leads nowhere.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut pages = pages_in(root)?;
    for directory in ["docs", "docs/guide", "docs/reference", "docs/development"] {
        pages.extend(pages_in(&root.join(directory))?);
    }
    for page in pages {
        let text =
            fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let directory = page.parent().unwrap_or(root);
        let name = page.strip_prefix(root).unwrap_or(&page).display();
        for target in targets(&text) {
            if !directory.join(target).exists() {
                findings.insert(
                    format!("link to nothing: {name} {target}"),
                    "there is no such file".to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// The Markdown files of one directory.
fn pages_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
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

/// The files that a page links to, without the section within them.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        .filter_map(|target| target.split('#').next())
        .filter(|file| !file.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_files_are_looked_at() {
        let text = "[a](b.md#c) [d](#e) [f](https://example.org/) ![g](h/i.svg)";
        assert_eq!(targets(text).collect::<Vec<_>>(), ["b.md", "h/i.svg"]);
    }
}
