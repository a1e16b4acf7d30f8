// SPDX-License-Identifier: GPL-3.0-or-later
//! The scripts that the database names: do they exist, are they executable, and who can change
//! them?

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use connect_policy::keys::{KEYS, Key, Kind};
use connect_policy::scripts;
use peerdb::{Database, Record};

use super::files::{self, GROUP_WRITE, OTHERS_WRITE, STICKY};
use super::finding::Section;
use super::refusals::Refusals;
use crate::output::text;

/// Any of the three permissions to execute.
pub(crate) const EXECUTE: u32 = 0o111;

/// What a program is run for.
#[derive(Debug, Default, Eq, PartialEq)]
struct Use {
    keys: BTreeSet<&'static str>,
    peers: usize,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.keys.iter().copied().collect();
        let peers = text::count(self.peers, "peer");
        write!(f, "{} of {peers}", keys.join(", "))
    }
}

/// Checks every script of every peer. Relative names are relative to `directory`, the working
/// directory of the service.
pub(crate) fn check(
    database: &Database,
    directory: &Path,
    refusals: Refusals,
    section: &mut Section<'_>,
) {
    let search = std::env::var_os("PATH").unwrap_or_default();
    for (program, purpose) in programs(database) {
        match find(&program, directory, &search) {
            Some(path) => {
                let subject = format!("the script {} ({purpose})", path.display());
                file(&path, &subject, refusals, section);
            }
            None => section.warning(
                format!("the script {program} ({purpose}) is in no directory of PATH"),
                "write its full name in the sources; the PATH of the service may differ from \
                 yours",
            ),
        }
    }
}

/// Every program whose name can be found in a record, and what it is run for.
fn programs(database: &Database) -> BTreeMap<String, Use> {
    let mut programs: BTreeMap<String, Use> = BTreeMap::new();
    for record in database.sorted_peers() {
        let uses: BTreeSet<(String, &'static str)> = KEYS
            .iter()
            .filter_map(|key| Some((program(record, key)?, key.name)))
            .collect();
        let mut before = None;
        // Sorted by program, so that a peer counts once for each.
        for (program, key) in uses {
            let purpose = programs.entry(program.clone()).or_default();
            purpose.keys.insert(key);
            purpose.peers += usize::from(before.replace(program.clone()) != Some(program));
        }
    }
    programs
}

/// The program that a key's value begins with. What is wrong with the value itself is for the
/// checks of the database.
pub(crate) fn program(record: &Record, key: &Key) -> Option<String> {
    match key.kind {
        Kind::Program => scripts::program(record, key.name),
        Kind::Shell => command(record.get(key.name)?),
        _ => None,
    }
}

/// The program that a line for the shell begins with. Anything but a full name may be a keyword, a
/// function or a variable of the shell.
fn command(line: &str) -> Option<String> {
    let word = line.split_whitespace().next()?;
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    (word.starts_with('/') && word.chars().all(plain)).then(|| word.to_owned())
}

/// Where a program is; `None` if it is to be searched for and is not found.
pub(crate) fn find(program: &str, directory: &Path, search: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        // Splitting and joining the path removes every `.' between slashes.
        return Some(directory.join(program).components().collect());
    }
    std::env::split_paths(search)
        .map(|place| place.join(program))
        .find(|path| path.is_file())
}

fn file(path: &Path, subject: &str, refusals: Refusals, section: &mut Section<'_>) {
    let shown = path.display();
    let missing = "install it, or correct its name in the sources";
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return files::unreadable(subject, &error, missing, section),
    };
    let mode = metadata.mode();
    let open = path.ancestors().skip(1).find(|place| is_open(place));
    let (fault, remedy) = if !metadata.is_file() {
        ("is no file".to_owned(), missing.to_owned())
    } else if mode & EXECUTE == 0 {
        ("is not executable".to_owned(), format!("chmod +x {shown}"))
    } else if let Some(interpreter) = missing_interpreter(path) {
        (
            format!("begins with `#!{interpreter}', and there is no such program"),
            "correct its first line, or install that program".to_owned(),
        )
    } else if let Some(distrust) = refusals.reason(path) {
        (format!("is not run: {distrust}"), distrust.remedy())
    } else if refusals.are_known() {
        return section.ok(format!("{subject} is in order"));
    } else if mode & OTHERS_WRITE != 0 {
        (
            "can be changed by everybody".to_owned(),
            format!("chmod o-w {shown}"),
        )
    } else if let Some(open) = open {
        let open = open.display();
        (
            format!("can be replaced by everybody, since {open} is open"),
            format!("chmod o-w {open}"),
        )
    } else if mode & GROUP_WRITE != 0 && metadata.gid() != 0 {
        return section.warning(
            format!("{subject} can be changed by the group {}", metadata.gid()),
            &format!("chmod g-w {shown}, unless you trust that group as much as the service"),
        );
    } else {
        return section.ok(format!("{subject} is in order"));
    };
    section.fault(format!("{subject} {fault}"), &remedy);
}

/// The program that a script's first line names, if it does not exist.
fn missing_interpreter(script: &Path) -> Option<String> {
    // The system reads no more of it.
    let mut start = Vec::new();
    let file = fs::File::open(script).ok()?;
    file.take(256).read_to_end(&mut start).ok()?;
    let program = interpreter(&start)?;
    let exists = Path::new(&program).try_exists().unwrap_or(true);
    (!exists).then_some(program)
}

/// The program that the first line of a script names by its path.
pub(crate) fn interpreter(start: &[u8]) -> Option<String> {
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    let program = line.split_ascii_whitespace().next()?;
    program.starts_with('/').then(|| program.to_owned())
}

/// Whether everybody may put another file in the place of one in this directory.
fn is_open(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| {
        let mode = metadata.mode();
        metadata.is_dir() && mode & OTHERS_WRITE != 0 && mode & STICKY == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_every_key_that_names_one() {
        let database = Database::from_parts(
            [
                Record::new("a", [("ifup", "/sbin/up x"), ("connect", "/bin/ssh -q a")]),
                Record::new("b", [("ifup", "'/sbin/up'"), ("ifdown", "/sbin/up -d")]),
                Record::new("c", [("connect", "exec ssh c"), ("disconnect", "/bin/$X")]),
                Record::new("d", [("ifup", " ")]),
            ],
            [],
            [],
        );
        let found: Vec<(String, String)> = programs(&database)
            .into_iter()
            .map(|(program, purpose)| (program, purpose.to_string()))
            .collect();
        let expected = [
            ("/bin/ssh", "connect of 1 peer"),
            ("/sbin/up", "ifdown, ifup of 2 peers"),
        ];
        assert_eq!(
            found,
            expected.map(|(program, purpose)| (program.to_owned(), purpose.to_owned()))
        );
    }

    #[test]
    fn the_program_in_the_first_line_of_a_script_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let missing = |text: &str| {
            let path = dir.path().join("script");
            fs::write(&path, text).unwrap();
            missing_interpreter(&path)
        };
        assert_eq!(missing("#! /bin/sh -e\nexit 0\n"), None);
        assert_eq!(missing("exit 0\n"), None);
        assert_eq!(missing("#!\n"), None);
        assert_eq!(missing("#!/no/such -x\n").as_deref(), Some("/no/such"));
        assert_eq!(missing("#!/no/such").as_deref(), Some("/no/such"));
        assert_eq!(missing_interpreter(&dir.path().join("none")), None);
    }

    #[test]
    fn names_without_a_directory_are_searched_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tool"), "").unwrap();
        let search = dir.path().as_os_str();
        let home = Path::new("/etc/tripe");
        assert_eq!(find("tool", home, search), Some(dir.path().join("tool")));
        assert_eq!(find("none", home, search), None);
        assert_eq!(find("./x", home, search), Some(home.join("x")));
        assert_eq!(find("/x", home, search), Some("/x".into()));
    }
}
