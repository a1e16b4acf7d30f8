// SPDX-License-Identifier: GPL-3.0-or-later
//! Which crate of the product may depend on which other: programs on libraries, not on programs,
//! and messages on nothing that does anything.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::Findings;

/// The crate of the messages between processes.
const MESSAGES: &str = "lib/ipc";

/// All that messages may need.
const FOR_MESSAGES: [&str; 3] = ["schemars", "serde", "serde_json"];

/// The start of the name of a program's crate; libraries are in `lib`.
const PROGRAM: &str = "connect-";

/// Checks the manifest of each crate of the product.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let programs = directories(root)?
        .into_iter()
        .filter(|name| name.starts_with(PROGRAM));
    let programs: Vec<String> = programs.collect();
    let libraries = directories(&root.join("lib"))?;
    let libraries = libraries.iter().map(|name| format!("lib/{name}"));
    for package in programs.iter().cloned().chain(libraries) {
        let manifest = root.join(&package).join("Cargo.toml");
        let manifest = fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        for dependency in dependencies(&manifest) {
            let finding = format!("{package} depends on {dependency}");
            if programs.iter().any(|program| program == dependency) {
                let details = "nothing of the product depends on a program";
                findings.insert(finding, details.to_owned());
            } else if package == MESSAGES && !FOR_MESSAGES.contains(&dependency) {
                let details = format!("messages need only {}", FOR_MESSAGES.join(", "));
                findings.insert(finding, details);
            }
        }
    }
    Ok(())
}

/// The names of the directories in a directory.
fn directories(parent: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| format!("{}", parent.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// The names of the dependencies in a manifest, without those of tests.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_tests_do_not_count() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nclap.workspace = true\n\
                        # why\nserde = { version = \"1\" }\n\n[dev-dependencies]\ninsta = \"1\"\n";
        assert_eq!(
            dependencies(manifest).collect::<Vec<_>>(),
            ["clap", "serde"]
        );
    }
}
