// SPDX-License-Identifier: GPL-3.0-or-later
//! Finding and reading source files.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::diagnostic::{Place, Report, SourceError};

/// The largest source file that is read: 64 MiB, a hundred times the source of ten thousand peers.
const MAX_SOURCE_SIZE: u64 = 64 << 20;

/// Reads the file `path`, or every source file in the directory `path`, and gives each to `take`
/// with its number in the report. A line that is not UTF-8 is reported and left out.
pub(crate) fn each(path: &Path, report: &mut Report, mut take: impl FnMut(u32, &str, &mut Report)) {
    let fail = |path: &Path, report: &mut Report, error: SourceError| {
        let file = report.add_file(path);
        report.push(Place { file, line: 0 }, None, error);
    };
    let paths = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match listing(path) {
            Ok(paths) if paths.is_empty() => {
                return fail(path, report, SourceError::EmptyDirectory);
            }
            Ok(paths) => paths,
            Err(error) => return fail(path, report, unreadable(&error)),
        },
        // A name that was given may be anything that can be read, also a pipe.
        Ok(_) => vec![path.to_owned()],
        Err(error) => return fail(path, report, unreadable(&error)),
    };
    for path in paths {
        match read(&path) {
            Ok(bytes) => {
                let file = report.add_file(&path);
                let text = decode(file, &bytes, report);
                take(file, &text, report);
            }
            Err(error) => fail(&path, report, error),
        }
    }
}

fn unreadable(error: &io::Error) -> SourceError {
    SourceError::Read {
        reason: error.to_string().into(),
    }
}

/// The source files of a directory, sorted by name.
fn listing(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Anything but a plain file (a directory, a socket, a dangling link that an editor left) is
        // no source, and a FIFO would make the compiler wait.
        let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
        if is_file && path.file_name().is_some_and(is_source_name) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a file's name does not mark it as hidden or as an editor's backup.
fn is_source_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b".") && !name.starts_with(b"#") && !name.ends_with(b"~")
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

/// The file as text, without a byte order mark. A line that is not UTF-8 is left empty, so that the
/// others keep their numbers.
fn decode(file: u32, bytes: &[u8], report: &mut Report) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for (bytes, line) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        match str::from_utf8(bytes) {
            Ok(good) => text.push_str(good),
            Err(_) => report.push(Place { file, line }, None, SourceError::NotUtf8),
        }
        text.push('\n');
    }
    text
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
            texts.push((name, text.to_owned()));
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
        fs::create_dir(dir.path().join("00directory")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("40dangling")).unwrap();
        let (texts, findings) = read_all(dir.path());
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["10base", "20local", "30#more"]);
        assert!(findings.is_empty());
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
    fn a_line_that_is_not_utf8_costs_itself_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"\xef\xbb\xbfone\ntwo\xff\nthree").unwrap();
        let (texts, findings) = read_all(&path);
        assert_eq!(texts[0].1, "one\n\nthree\n");
        assert!(findings[0].ends_with("file:2: error: the line is not UTF-8: convert the file"));
        fs::write(&path, b"\xef\xbb\xbfone").unwrap();
        assert_eq!(read_all(&path).0[0].1, "one");
    }
}
