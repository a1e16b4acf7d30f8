// SPDX-License-Identifier: GPL-3.0-or-later
//! What the records name and this host does not have: scripts that do not exist or cannot be run,
//! and networks. Only `db check' looks for them: a database may be compiled on another host, or
//! before its scripts are installed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use connect_policy::check::network_names;
use connect_policy::keys::{KEYS, Key, Kind};
use connect_policy::scripts;
use connect_runtime::paths::SCRIPTS_PATH;
use peerdb::finding::{Fault, Findings, Subject};
use peerdb::source::Compilation;
use peerdb::{Database, Finding, Location, Name, Record, Severity, Value};

use super::networks::{FILE, Networks};
use super::shell;
use crate::commands::doctor::scripts::{EXECUTE, find};

/// What a record names and this host does not have.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
enum Missing {
    #[error(
        "{key} names the script {path}, which does not exist here: install it, or correct {key}"
    )]
    NotThere { key: &'static str, path: Name },
    #[error(
        "{key} names the script {program}, which is in no directory of the PATH that scripts get \
         ({SCRIPTS_PATH}): install it, or write its full name"
    )]
    NotInPath { key: &'static str, program: Name },
    #[error(
        "{key} has {word}, which is no prefix, and no name in {FILE} on this host: write a prefix \
         such as 10.1.0.0/16, or define the name there"
    )]
    NoNetwork { key: &'static str, word: Value },
    #[error("{key} names {path}, which is no file: name a script in {key}")]
    NoFile { key: &'static str, path: Name },
    #[error("{key} names the script {path}, which is not executable: chmod +x {path}")]
    NotExecutable { key: &'static str, path: Name },
}

impl Fault for Missing {
    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn key(&self) -> Option<&str> {
        let (Missing::NotThere { key, .. }
        | Missing::NotInPath { key, .. }
        | Missing::NoFile { key, .. }
        | Missing::NoNetwork { key, .. }
        | Missing::NotExecutable { key, .. }) = self;
        Some(key)
    }
}

/// What the records of all peers name and this host does not have. Relative names are relative to
/// `directory`, the working directory of the service.
pub(crate) fn check(
    database: &Database,
    source: Option<&Compilation>,
    directory: &Path,
) -> Vec<Finding> {
    let networks = Networks::read();
    let mut findings: Findings<Option<Location>, Missing> = Findings::default();
    for record in database.sorted_peers() {
        for key in KEYS {
            let fault = match (program(record, key), record.get(key.name)) {
                (Some(program), _) => script(key.name, &program, directory),
                (None, Some(value)) if key.kind == Kind::Networks => {
                    network(key.name, value, &networks)
                }
                _ => None,
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

/// The program that a key's value begins with.
fn program(record: &Record, key: &Key) -> Option<String> {
    match key.kind {
        Kind::Program => scripts::program(record, key.name),
        Kind::Shell => shell::program(record.get(key.name)?).map(str::to_owned),
        _ => None,
    }
}

fn script(key: &'static str, program: &str, directory: &Path) -> Option<Missing> {
    match find(program, directory, SCRIPTS_PATH.as_ref()) {
        Some(path) => fault(key, &path),
        None => {
            let program = program.into();
            Some(Missing::NotInPath { key, program })
        }
    }
}

/// The first name of a network that this host does not know.
fn network(key: &'static str, value: &str, networks: &Networks) -> Option<Missing> {
    let word = network_names(value).find(|name| !networks.has(name))?;
    let word = word.into();
    Some(Missing::NoNetwork { key, word })
}

/// What is wrong with the file, as far as this user may see it.
fn fault(key: &'static str, path: &PathBuf) -> Option<Missing> {
    let shown = || Name::from(path.display().to_string());
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Some(Missing::NoFile { key, path: shown() }),
        Ok(metadata) if metadata.mode() & EXECUTE == 0 => {
            Some(Missing::NotExecutable { key, path: shown() })
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Some(Missing::NotThere { key, path: shown() })
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
                Record::new("f", [("connect", "no-such-program | cat")]),
                Record::new(
                    "g",
                    [("disconnect", "cat x"), ("nets", "default no-such-net")],
                ),
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
            "peer f: connect names the script no-such-program, which is in no".into(),
            "peer g: nets has \"no-such-net\", which is no prefix, and no name in".into(),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(&expected), "{found}");
        }
    }
}
