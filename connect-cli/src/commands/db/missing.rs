// SPDX-License-Identifier: GPL-3.0-or-later
//! Scripts that the records name and that are not there, or cannot be run. Only `db check' looks
//! for them: a database may be compiled on another host, or before its scripts are installed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use connect_policy::keys::KEYS;
use peerdb::finding::{Fault, Findings, Subject};
use peerdb::source::Compilation;
use peerdb::{Database, Finding, Location, Name, Severity};

use crate::commands::doctor::scripts::{EXECUTE, find, program};

/// What is wrong with a script.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
enum ScriptFault {
    #[error(
        "{key} names the script {path}, which does not exist here: install it, or correct {key}"
    )]
    Missing { key: &'static str, path: Name },
    #[error(
        "{key} names the script {program}, which is in no directory of PATH: write its full name"
    )]
    NotInPath { key: &'static str, program: Name },
    #[error("{key} names {path}, which is no file: name a script in {key}")]
    NoFile { key: &'static str, path: Name },
    #[error("{key} names the script {path}, which is not executable: chmod +x {path}")]
    NotExecutable { key: &'static str, path: Name },
}

impl Fault for ScriptFault {
    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn key(&self) -> Option<&str> {
        let (ScriptFault::Missing { key, .. }
        | ScriptFault::NotInPath { key, .. }
        | ScriptFault::NoFile { key, .. }
        | ScriptFault::NotExecutable { key, .. }) = self;
        Some(key)
    }
}

/// What is wrong with the scripts of all peers. Relative names are relative to `directory`, the
/// working directory of the service.
pub(crate) fn check(
    database: &Database,
    source: Option<&Compilation>,
    directory: &Path,
) -> Vec<Finding> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut findings: Findings<Option<Location>, ScriptFault> = Findings::default();
    for record in database.sorted_peers() {
        for key in KEYS {
            let Some(program) = program(record, key) else {
                continue;
            };
            let fault = match find(&program, directory, &search) {
                Some(path) => fault(key.name, &path),
                None => Some(ScriptFault::NotInPath {
                    key: key.name,
                    program: program.into(),
                }),
            };
            let Some(fault) = fault else { continue };
            let location = source.and_then(|source| source.location(record.name(), key.name));
            let subject = Some(Subject::Peer(record.name().to_owned()));
            findings.push(location.clone(), location, subject, fault);
        }
    }
    let list = findings.into_list().into_iter();
    list.map(|(_, finding)| finding).collect()
}

/// What is wrong with the file, as far as this user may look at it.
fn fault(key: &'static str, path: &PathBuf) -> Option<ScriptFault> {
    let shown = || Name::from(path.display().to_string());
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Some(ScriptFault::NoFile { key, path: shown() }),
        Ok(metadata) if metadata.mode() & EXECUTE == 0 => {
            Some(ScriptFault::NotExecutable { key, path: shown() })
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Some(ScriptFault::Missing { key, path: shown() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerdb::Record;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn scripts_that_cannot_be_run_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name).display().to_string();
        fs::write(place("good"), "").unwrap();
        fs::set_permissions(place("good"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place("plain"), "").unwrap();
        fs::set_permissions(place("plain"), fs::Permissions::from_mode(0o644)).unwrap();
        let [good, plain, none] = ["good", "plain", "none"].map(place);
        let file = format!("{good}/x");
        let directory = dir.path().display().to_string();
        let database = Database::from_parts(
            [
                Record::new("a", [("ifup", good.as_str()), ("ifdown", "./plain")]),
                Record::new("b", [("ifup", none.as_str()), ("connect", plain.as_str())]),
                Record::new("c", [("ifup", none.as_str()), ("ifdown", file.as_str())]),
                Record::new(
                    "d",
                    [("ifup", directory.as_str()), ("connect", "exec ssh d")],
                ),
                Record::new("e", [("ifup", "no-such-program-at-all")]),
            ],
            [],
            [],
        );
        let found: Vec<String> = check(&database, None, dir.path())
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            format!("peer a: ifdown names the script {plain}, which is not executable"),
            format!("peer b: connect names the script {plain}, which is not executable"),
            format!("peer b and 1 other: ifup names the script {none}, which does not exist"),
            format!("peer c: ifdown names the script {file}, which does not exist"),
            format!("peer d: ifup names {directory}, which is no file"),
            "peer e: ifup names the script no-such-program-at-all, which is in no".into(),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(&expected), "{found}");
        }
    }
}
