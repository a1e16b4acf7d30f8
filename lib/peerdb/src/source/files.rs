// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding and reading source files.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::backup;
use super::report::{Place, Report, SourceError};

/// The largest source file that is read: 64 MiB, a hundred times the source of ten thousand peers.
const MAX_SOURCE_SIZE: u64 = 64 << 20;

/// Reads the file `path`, or every source file in the directory `path`, and gives each to `take`
/// with its number in the report.
pub(crate) fn each(
    path: &Path,
    report: &mut Report,
    mut take: impl FnMut(u32, &[u8], &mut Report),
) {
    let fail = |path: &Path, report: &mut Report, error: SourceError| {
        let file = report.add_file(path);
        report.push(Place { file, line: 0 }, None, error);
    };
    let sources = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match listing(path) {
            Ok(listing) => {
                for (path, error) in listing.left_out {
                    fail(&path, report, error);
                }
                if listing.sources.is_empty() {
                    return fail(path, report, SourceError::EmptyDirectory);
                }
                listing.sources
            }
            Err(error) => return fail(path, report, unreadable(&error)),
        },
        // A name that was given may be anything that can be read, also a pipe.
        Ok(_) => vec![(path.to_owned(), None)],
        Err(error) => return fail(path, report, unreadable(&error)),
    };
    for (path, doubt) in sources {
        let file = report.add_file(&path);
        let at = |line| Place { file, line };
        if let Some(doubt) = doubt {
            report.push(at(0), None, doubt);
        }
        match read(&path) {
            Ok(bytes) => content(&bytes, file, report, &mut take),
            Err(error) => report.push(at(0), None, error),
        }
    }
}

/// Gives the text in the bytes of a file to `take`, or reports why there is none.
pub(crate) fn content(
    bytes: &[u8],
    file: u32,
    report: &mut Report,
    mut take: impl FnMut(u32, &[u8], &mut Report),
) {
    match text(bytes) {
        Ok(text) => take(file, text, report),
        Err((line, error)) => report.push(Place { file, line }, None, error),
    }
}

fn unreadable(error: &io::Error) -> SourceError {
    SourceError::Read {
        reason: error.to_string().into(),
    }
}

/// The contents of a directory, sorted by name, without hidden files.
#[derive(Default)]
struct Listing {
    /// The files to be read, each with a finding about its name, if there is one.
    sources: Vec<(PathBuf, Option<SourceError>)>,
    /// What is not read, and why.
    left_out: Vec<(PathBuf, SourceError)>,
}

fn listing(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    // Each name with the reason why it is not read, if it is not a file.
    let mut names: BTreeMap<OsString, Option<SourceError>> = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().as_bytes().starts_with(b".") {
            names.insert(entry.file_name(), no_file(&entry.path()));
        }
    }
    let is_file = |name: &str| matches!(names.get(OsStr::new(name)), Some(None));
    for (name, no_file) in &names {
        let path = directory.join(name);
        let shown = name.to_string_lossy();
        let skipped = match no_file {
            // What is not a file is not read, whatever its name.
            Some(error @ SourceError::NoFile { .. }) => Some(error.clone()),
            // A backup is not read, so it does not matter where the link leads.
            Some(error) => Some(backup::of(&shown, is_file).unwrap_or_else(|| error.clone())),
            None => backup::of(&shown, is_file),
        };
        match skipped {
            Some(error) => listing.left_out.push((path, error)),
            None => {
                let doubt = backup::is_like_a_copy(&shown).then_some(SourceError::Copy);
                listing.sources.push((path, doubt));
            }
        }
    }
    Ok(listing)
}

/// Why something in a directory is not a file that can be read: a directory is not a source, a FIFO
/// would make the compiler wait, and the target of a link may be missing. `None` for a file.
fn no_file(path: &Path) -> Option<SourceError> {
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return None,
        Ok(metadata) => metadata.file_type(),
        Err(error) => return Some(unreachable_file(path, &error)),
    };
    let (kind, remedy) = if kind.is_dir() {
        let remedy = "move its files into the directory of sources, or name it as well";
        ("a directory", remedy)
    } else if kind.is_fifo() {
        ("a FIFO", "remove it")
    } else if kind.is_socket() {
        ("a socket", "remove it")
    } else {
        ("a device", "remove it")
    };
    Some(SourceError::NoFile { kind, remedy })
}

/// What is wrong with a path that the system does not follow to its end.
fn unreachable_file(path: &Path, error: &io::Error) -> SourceError {
    let fault = match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) => "does not exist",
        Some(Errno::LOOP) => "leads in a circle",
        _ => return unreadable(error),
    };
    match fs::read_link(path) {
        Ok(target) => SourceError::Dangling {
            target: target.to_string_lossy().into_owned().into(),
            fault,
        },
        Err(_) => unreadable(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(MAX_SOURCE_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_SOURCE_SIZE {
        return Err(SourceError::TooLarge {
            limit: MAX_SOURCE_SIZE,
        });
    }
    Ok(bytes)
}

/// The text of a file, without a byte order mark; or the line with something that cannot be in a
/// text, and what it is.
fn text(bytes: &[u8]) -> Result<&[u8], (u32, SourceError)> {
    let error = |reason, remedy| SourceError::NotText { reason, remedy };
    let wide = "convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8";
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err((0, error("begins with the mark of UTF-16", wide)));
    }
    let Some(nul) = bytes.iter().position(|byte| *byte == 0) else {
        return Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    };
    // In UTF-16, at least the other byte of each line break is NUL.
    let [even, odd] = [0, 1].map(|half| {
        let half = bytes.iter().skip(half).step_by(2);
        half.filter(|byte| **byte == 0).count()
    });
    if bytes.len() >= 4 && (even == 0) != (odd == 0) && even.max(odd) * 4 >= bytes.len() {
        return Err((0, error("seems to be UTF-16", wide)));
    }
    let breaks = bytes[..nul].iter().filter(|byte| **byte == b'\n').count();
    let line = u32::try_from(breaks + 1).unwrap_or(u32::MAX);
    let remedy = "name the right file, or remove the character";
    Err((line, error("has a NUL character here", remedy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read under `path`: each file's name with its text, and the findings.
    fn read_all(path: &Path) -> (Vec<(String, String)>, Vec<String>) {
        let mut report = Report::default();
        let mut texts = Vec::new();
        each(path, &mut report, |file, text, report| {
            let path = report.location(Place { file, line: 0 }).file;
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            texts.push((name, String::from_utf8_lossy(text).into_owned()));
        });
        let findings = report.take_findings();
        (texts, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_directory_is_read_in_order_without_backups() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "20local", "10base", "10base~", ".hidden", "#10base#", "30#more",
        ] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", dir.path().join(".#10base")).unwrap();
        let (texts, findings) = read_all(dir.path());
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["10base", "20local", "30#more"]);
        let hint = |name: &str, mark: &str| {
            format!(
                "{}/{name}: hint: it is skipped, since {mark} in its name marks a backup: remove \
                 it, or rename it if it is a source",
                dir.path().display()
            )
        };
        assert_eq!(findings, [hint("#10base#", "#"), hint("10base~", "~")]);
    }

    #[test]
    fn what_is_no_file_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        };
        fs::write(dir.path().join("10base"), "x").unwrap();
        fs::create_dir(dir.path().join("20directory.old")).unwrap();
        link("20directory.old", "30directory");
        link("/dev/null", "40device");
        link("nowhere", "50dangling");
        link("10base/more", "51dangling");
        link("52circle", "52circle");
        link("10base", "60link");
        link("nowhere", "10base.bak");
        let (texts, findings) = read_all(dir.path());
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["10base", "60link"]);
        let expected = [
            "10base.bak: hint: it is skipped, since .bak in its name",
            "20directory.old: warning: it is skipped, since it is a directory",
            "30directory: warning: it is skipped, since it is a directory",
            "40device: warning: it is skipped, since it is a device",
            "50dangling: error: it is a link to nowhere, which does not exist",
            "51dangling: error: it is a link to 10base/more, which does not exist",
            "52circle: error: it is a link to 52circle, which leads in a circle",
        ];
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (found, words) in findings.iter().zip(expected) {
            assert!(found.contains(words), "{found}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_reported_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (texts, findings) = read_all(&dir.path().join("missing"));
        assert!(texts.is_empty());
        assert!(
            findings[0].contains("missing: error: it cannot be read"),
            "{findings:?}"
        );

        let (_, findings) = read_all(dir.path());
        assert!(
            findings[0].contains("warning: there is no source file"),
            "{findings:?}"
        );

        let large = dir.path().join("large");
        File::create(&large)
            .unwrap()
            .set_len(MAX_SOURCE_SIZE + 1)
            .unwrap();
        let (_, findings) = read_all(&large);
        assert!(findings[0].contains("larger than 64 MiB"), "{findings:?}");
    }

    #[test]
    fn a_byte_order_mark_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"\xef\xbb\xbfone").unwrap();
        assert_eq!(read_all(&path).0[0].1, "one");
    }

    #[test]
    fn what_is_no_text_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (bytes, words) in [
            (b"\xff\xfe[\0a\0]\0".as_slice(), "mark of UTF-16"),
            (b"\xfe\xff\0[\0a\0]", "mark of UTF-16"),
            (b"[\0a\0]\0\n\0", "seems to be UTF-16"),
            (b"\0[\0a\0]\0\n", "seems to be UTF-16"),
            (b"[a]\nx = a\0b\n", "file:2: error: it has a NUL character"),
            (b"\0", "file:1: error: it has a NUL character"),
        ] {
            fs::write(&path, bytes).unwrap();
            let (texts, findings) = read_all(&path);
            assert!(texts.is_empty());
            assert!(findings[0].contains("not a text file"), "{findings:?}");
            assert!(findings[0].contains(words), "{findings:?}");
        }
    }
}
