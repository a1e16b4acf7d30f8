// SPDX-License-Identifier: GPL-3.0-or-later
//! Were the sources of the peer database changed after it was compiled?

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use peerdb::Severity;
use peerdb::source::Compilation;

use super::finding::Section;
use crate::commands::db::{findings, input};

/// How many files are looked at: more are no sources that somebody writes.
const MOST: usize = 10_000;

/// Compares the database at `path` with these sources, which `compile` compiles, if they were
/// changed after it. Nothing is told if they were not, or if they come to the same.
pub(super) fn check(
    path: &Path,
    sources: &Path,
    compile: impl FnOnce(&Path) -> Compilation,
    section: &mut Section<'_>,
) {
    let written = fs::metadata(path).and_then(|it| it.modified());
    let (Ok(written), Ok(changed)) = (written, last_change(sources)) else {
        // Where there are no sources here, they are somewhere else.
        return;
    };
    if changed <= written {
        return;
    }
    let compilation = compile(sources);
    if !input::describes_peers(&compilation) {
        // Those of this database are somewhere else; a package has put a sample here.
        return;
    }
    let (file, sources) = (path.display(), sources.display());
    if findings::any(&findings::of_compilation(&compilation), Severity::Error) {
        section.warning(
            format!(
                "the sources in {sources} were changed after {file} was compiled, and have errors"
            ),
            &format!("`connect-cli db check {sources}' lists them; correct them and compile"),
        );
    } else if !compilation.writer().is_written(path) {
        section.warning(
            format!(
                "the sources in {sources} were changed after {file} was compiled, so the service \
                 does not have the changes"
            ),
            &format!(
                "`connect-cli db diff {file} {sources}' shows them; `connect-cli db compile -o \
                 {file} {sources}' puts them into the database; then `connect-cli reload' says \
                 what is left to do"
            ),
        );
    }
}

/// When the directory of sources, or a file in it, was changed last.
fn last_change(sources: &Path) -> io::Result<SystemTime> {
    let mut last = fs::metadata(sources)?.modified()?;
    for entry in fs::read_dir(sources)?.take(MOST) {
        last = last.max(entry?.metadata()?.modified()?);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use peerdb::source::{Source, SystemResolver};

    use super::super::finding::{Area, Findings};
    use super::*;

    fn compiled(sources: &Path) -> Compilation {
        Source::read(&[sources], |_| true).compile(&SystemResolver::default())
    }

    /// What is told of these sources, which were changed so many seconds after the database of
    /// `[p] peer = INET 192.0.2.1 1` was compiled.
    fn told(text: &str, seconds: u64) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let (path, sources) = (directory.path().join("db"), directory.path().join("in"));
        fs::create_dir(&sources).unwrap();
        let file = sources.join("peers");
        fs::write(&file, "[p]\npeer = INET 192.0.2.1 1\n").unwrap();
        compiled(&sources).writer().write(&path).unwrap();
        fs::write(&file, text).unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (path, at) in [(&path, 0), (&file, seconds), (&sources, 0)] {
            let file = File::open(path).unwrap();
            file.set_modified(start + Duration::from_secs(at)).unwrap();
        }
        let mut findings = Findings::default();
        let section = &mut findings.section(Area::Database);
        check(&path, &sources, compiled, section);
        let texts = findings.iter().map(|finding| {
            let text = finding
                .text
                .replace(&*directory.path().to_string_lossy(), "");
            text.split_once("compiled").unwrap().1.to_owned()
        });
        texts.collect()
    }

    #[test]
    fn sources_that_were_changed_and_not_compiled_are_told_of() {
        let other = "[p]\npeer = INET 192.0.2.1 2\n";
        assert_eq!(
            told(other, 1),
            [", so the service does not have the changes"]
        );
        assert_eq!(told(other, 0), [""; 0]);
        let same = "# The same.\n[p]\npeer = INET 192.0.2.1 1\n";
        assert_eq!(told(same, 1), [""; 0]);
        assert_eq!(told("[p\n", 1), [", and have errors"]);
        let other = "[p]\npeer = INET 192.0.2.1:2\n";
        assert_eq!(told(other, 1), [", and have errors"]);
        assert_eq!(told("# A sample.\n", 1), [""; 0]);
    }

    #[test]
    fn a_database_without_sources_beside_it_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mut findings = Findings::default();
        let section = &mut findings.section(Area::Database);
        let nowhere = directory.path().join("in");
        check(directory.path(), &nowhere, compiled, section);
        assert_eq!(findings.iter().count(), 0);
    }
}
