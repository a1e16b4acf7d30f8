// SPDX-License-Identifier: GPL-3.0-or-later
//! What each released version has written: `fixtures/released/VERSION` has an example of every form
//! that a later version reads, and each form has a test that reads the examples of all versions.
//!
//! ```text
//!   fixture of a form --until the release--> fixtures/released/VERSION/ --all versions--> its test
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::Findings;

/// Where the examples are, relative to the repository.
const FOLDER: &str = "fixtures/released";

/// A form that a later version reads.
#[derive(Debug)]
pub struct Form {
    /// The name of the example in the directory of a version.
    pub name: &'static str,
    /// The fixture that has the form of the present version, from which the example is copied.
    pub fixture: &'static str,
    /// The source with the test that reads the examples of all versions.
    pub reader: &'static str,
}

const fn message(name: &'static str, fixture: &'static str) -> Form {
    Form {
        name,
        fixture,
        reader: "lib/ipc/tests/released.rs",
    }
}

/// All of them.
pub const FORMS: [Form; 13] = [
    Form {
        name: "core.json",
        fixture: "connect-core/fixtures/core.json",
        reader: "connect-core/src/machine/tests/released.rs",
    },
    Form {
        name: "database.json",
        fixture: "connect-core/fixtures/database.json",
        reader: "connect-core/src/machine/tests/released.rs",
    },
    Form {
        name: "recording.jsonl",
        fixture: "tests/scenarios/fixtures/recording.jsonl",
        reader: "connect-core/src/machine/tests/released.rs",
    },
    Form {
        name: "peers.cdb",
        fixture: "lib/peerdb/tests/fixtures/sample.cdb",
        reader: "connect-core/src/machine/tests/released.rs",
    },
    Form {
        name: "journal-1",
        fixture: "connect-ifscripts/fixtures/journal-1",
        reader: "connect-ifscripts/src/journal/released_tests.rs",
    },
    message("hello.jsonl", "lib/ipc/tests/fixtures/hello.jsonl"),
    message("requests.jsonl", "lib/ipc/tests/fixtures/requests.jsonl"),
    message("replies.jsonl", "lib/ipc/tests/fixtures/replies.jsonl"),
    message("events.jsonl", "lib/ipc/tests/fixtures/events.jsonl"),
    message("to-pinger.jsonl", "lib/ipc/tests/fixtures/to-pinger.jsonl"),
    message(
        "from-pinger.jsonl",
        "lib/ipc/tests/fixtures/from-pinger.jsonl",
    ),
    message(
        "to-scripts.jsonl",
        "lib/ipc/tests/fixtures/to-scripts.jsonl",
    ),
    message(
        "from-scripts.jsonl",
        "lib/ipc/tests/fixtures/from-scripts.jsonl",
    ),
];

/// An example of a form, as a version has written it.
#[derive(Debug)]
pub struct Example {
    /// The version.
    pub version: String,
    /// The file.
    pub path: PathBuf,
}

impl Example {
    /// What it says.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn text(&self) -> anyhow::Result<String> {
        read(&self.path)
    }
}

/// The examples of a form, one of each version that has it. There is at least one.
///
/// # Errors
/// If there is none, or the directory cannot be read.
pub fn examples(name: &str) -> anyhow::Result<Vec<Example>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut examples = Vec::new();
    for version in names(&root.join(FOLDER))? {
        let path = root.join(FOLDER).join(&version).join(name);
        if path.exists() {
            examples.push(Example { version, path });
        }
    }
    anyhow::ensure!(!examples.is_empty(), "no version has an example of {name}");
    Ok(examples)
}

/// The places in `file` that `read`, which was made from it, does not have or has otherwise. More
/// may be in `read`: what an earlier version did not write gets its default.
#[must_use]
pub fn lost(file: &Value, read: &Value) -> Vec<String> {
    let mut places = Vec::new();
    compare(file, Some(read), "", &mut places);
    places
}

fn compare(file: &Value, read: Option<&Value>, place: &str, places: &mut Vec<String>) {
    match (file, read) {
        (Value::Object(file), Some(Value::Object(read))) => {
            for (key, value) in file {
                compare(value, read.get(key), &format!("{place}/{key}"), places);
            }
        }
        (Value::Array(file), Some(Value::Array(read))) if file.len() == read.len() => {
            for (number, value) in file.iter().enumerate() {
                compare(
                    value,
                    read.get(number),
                    &format!("{place}/{number}"),
                    places,
                );
            }
        }
        (file, Some(read)) if file == read => {}
        _ => places.push(place.to_owned()),
    }
}

/// Each form and each file of a version has its reader.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    for form in &FORMS {
        let reader = fs::read_to_string(root.join(form.reader)).unwrap_or_default();
        if !reader.contains(&format!("\"{}\"", form.name)) {
            let finding = format!("released form that nobody reads: {}", form.name);
            findings.insert(finding, format!("have {} read it", form.reader));
        }
    }
    let is_form = |name: &String| FORMS.iter().any(|form| form.name == name);
    for version in names(&root.join(FOLDER))? {
        let files = names(&root.join(FOLDER).join(&version))?;
        for file in files.iter().filter(|name| !is_form(name)) {
            let finding = format!("released file without a reader: {version}/{file}");
            findings.insert(finding, "name it in FORMS, with its test".to_owned());
        }
    }
    Ok(())
}

/// Copies the fixtures to the directory of the present version, unless this is released.
///
/// # Errors
/// If a file cannot be read or written.
pub fn update(root: &Path) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let directory = root.join(FOLDER).join(version);
    for form in stale(root)? {
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let (from, to) = (root.join(form.fixture), directory.join(form.name));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// The forms whose example of the present version is not as the fixture is; none if this version is
/// released, as the changelog says.
///
/// # Errors
/// If a file cannot be read.
pub fn stale(root: &Path) -> anyhow::Result<Vec<&'static Form>> {
    let version = env!("CARGO_PKG_VERSION");
    let changelog = read(&root.join("CHANGELOG.md"))?;
    if !changelog.contains(&format!("\n## {version}, unreleased\n")) {
        return Ok(Vec::new());
    }
    let mut stale = Vec::new();
    for form in &FORMS {
        let fixture = root.join(form.fixture);
        let fixture =
            fs::read(&fixture).with_context(|| format!("cannot read {}", fixture.display()))?;
        let example = root.join(FOLDER).join(version).join(form.name);
        if !fs::read(example).is_ok_and(|example| example == fixture) {
            stale.push(form);
        }
    }
    Ok(stale)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_lost_is_found_and_what_is_added_is_not() {
        let file = json!({ "a": 1, "b": [{ "c": "x" }, null], "d": {} });
        assert_eq!(lost(&file, &file), [""; 0]);
        let more = json!({ "a": 1, "b": [{ "c": "x", "new": 2 }, null], "d": { "e": 3 } });
        assert_eq!(lost(&file, &more), [""; 0]);
        let other = json!({ "b": [{ "c": "y" }, 0], "d": 1 });
        assert_eq!(lost(&file, &other), ["/a", "/b/0/c", "/b/1", "/d"]);
        assert_eq!(lost(&json!([1, 2]), &json!([1])), [""]);
    }
}
