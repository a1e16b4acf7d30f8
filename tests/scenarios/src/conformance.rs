// SPDX-License-Identifier: GPL-3.0-or-later
//! The tables of docs/reference/conformance.md and docs/development/security.md, and which tests
//! they name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Which column of a table names tests, counted from the left.
const TEST_COLUMN: usize = 2;

/// The documents whose tables name tests, with a dash and a blank at the beginning of the line
/// below their headings; other tables are not looked at.
pub const DOCUMENTS: [&str; 2] = [
    "docs/reference/conformance.md",
    "docs/development/security.md",
];

/// One row of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it states.
    pub statement: String,
    /// The tests that it names.
    pub tests: Vec<TestName>,
}

/// A test as a row names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TestName {
    /// The crate of a test in a crate; `None` for a scenario.
    pub package: Option<String>,
    /// The path of the test.
    pub path: String,
}

impl TestName {
    fn parse(text: &str) -> Self {
        match text.split_once(' ') {
            Some((package, path)) => TestName {
                package: Some(package.to_owned()),
                path: path.to_owned(),
            },
            None => TestName {
                package: None,
                path: text.to_owned(),
            },
        }
    }

    /// The name under which the test shows itself when it runs.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.package {
            // Each file in `tests` is a program of its own, and its tests have bare names.
            None => self.path.strip_prefix("foundation::").unwrap_or(&self.path),
            Some(_) => &self.path,
        }
    }

    /// Whether the sources under `root` have this test.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn exists(&self, root: &Path) -> anyhow::Result<bool> {
        let (module, name) = self
            .path
            .rsplit_once("::")
            .context("a name without a module")?;
        let modules: Vec<&str> = module.split("::").collect();
        let files = match &self.package {
            None => {
                let tests = root.join("tests/scenarios/tests");
                vec![
                    tests.join("manual").join(format!("{module}.rs")),
                    tests.join(format!("{module}.rs")),
                ]
            }
            Some(package) => {
                // A module is a file or a directory, or stands inside the file of its parent.
                // Libraries of this project alone have its name before that of their directory.
                let short = package.trim_start_matches("connect-");
                let source = [package, &format!("lib/{package}"), &format!("lib/{short}")]
                    .into_iter()
                    .map(|directory| root.join(directory).join("src"))
                    .find(|directory| directory.is_dir())
                    .with_context(|| format!("no crate {package}"))?;
                let whole: PathBuf = source.join(modules.join("/"));
                let parent: PathBuf = source.join(modules[..modules.len() - 1].join("/"));
                let file = |path: &Path| path.with_extension("rs");
                vec![
                    file(&whole),
                    whole.join("mod.rs"),
                    file(&parent),
                    parent.join("mod.rs"),
                    root.join(package).join(format!("tests/cli/{module}.rs")),
                    root.join(package).join(format!("tests/helper/{module}.rs")),
                ]
            }
        };
        let mark = format!("fn {name}(");
        for file in files.iter().filter(|file| file.is_file()) {
            if fs::read_to_string(file)?.contains(&mark) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where the repository is.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every row of every such table of a document.
///
/// # Errors
/// If the document cannot be read or has no rows.
pub fn rows(root: &Path, document: &str) -> anyhow::Result<Vec<Row>> {
    let path = root.join(document);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = parse(&text);
    ensure!(!rows.is_empty(), "{} has no rows", path.display());
    Ok(rows)
}

fn parse(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with("| ---") {
            in_table = true;
        } else if !text.starts_with('|') {
            in_table = false;
        } else if in_table {
            let cells: Vec<&str> = text.trim_matches('|').split(" | ").collect();
            // What stands between backticks is a name; the rest is white space.
            let names = cells
                .get(TEST_COLUMN)
                .unwrap_or(&"")
                .split('`')
                .skip(1)
                .step_by(2);
            rows.push(Row {
                line,
                statement: cells.get(1).unwrap_or(&"").trim().to_owned(),
                tests: names.map(TestName::parse).collect(),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_their_tests() {
        let text = "| a | b | c | d |\n| --- | --- | --- | --- |\n\
                    | S | it `does` | `m::t` `connect-core a::tests::t` | r |\n\
                    | S | open | | |\n\nno row | at | `all` |\n";
        let rows = parse(text);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].line, rows[0].statement.as_str()), (3, "it `does`"));
        let names: Vec<_> = rows[0]
            .tests
            .iter()
            .map(|test| test.path.as_str())
            .collect();
        assert_eq!(names, ["m::t", "a::tests::t"]);
        assert_eq!(rows[0].tests[1].package.as_deref(), Some("connect-core"));
        assert!(rows[1].tests.is_empty());
    }
}
