// SPDX-License-Identifier: GPL-3.0-or-later
//! What a file is, as far as its name and its first bytes say: a database, even a damaged one, or
//! sources.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::client::meant::leads_to_same;
use crate::common::Common;

/// How much of a file is examined: the header of a database. It has a NUL in every database that is
/// not far too large to be read.
pub(super) const HEADER: u64 = 2048;

/// The highest byte of a position or number in the header of a database. It allows for a file of
/// half a gibibyte, twice the most that is read. Text begins with bytes above it.
const HIGHEST: u8 = 0x1f;

/// Of so many bytes of text, at most one is a control character that no text needs. In random
/// bytes, three of them are.
const PER_CONTROL: usize = 32;

/// The name of a database ends with this.
const EXTENSION: &str = "cdb";

/// The first bytes of a file.
pub(super) fn start(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(HEADER).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether the path names sources: a directory, or a file of text.
pub(super) fn is_source(path: &Path, common: &Common) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        // A missing file is reported as a missing database.
        return false;
    };
    if !metadata.is_file() {
        // Reading from a pipe would consume its content, and a database cannot come from a pipe.
        return true;
    }
    start(path)
        .is_ok_and(|start| !is_header(&start) && (is_text(&start) || !is_place(path, common)))
}

/// Whether a database belongs here: it is the service's, or its name says so.
pub(super) fn is_place(path: &Path, common: &Common) -> bool {
    let in_use = connect_runtime::paths::database(None, &common.directory());
    path.extension().is_some_and(|it| it == EXTENSION) || leads_to_same(path, &in_use)
}

/// Whether a file begins like a database, even a damaged one: with the position and size of a table
/// in binary, least byte first. Text with a NUL in it does not, nor does text in UTF-16.
pub(crate) fn is_header(start: &[u8]) -> bool {
    let marked = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    let small = |at: usize| {
        start
            .get(at)
            .is_none_or(|byte| *byte <= HIGHEST && *byte != b'\n')
    };
    // Byte 6 is not zero for a table of millions of slots, or for a letter in UTF-16.
    start.contains(&0) && !marked && [3, 6, 7].into_iter().all(small)
}

/// Whether a file begins like text, in whatever encoding: UTF-16 has many NULs, and a mistake of an
/// editor may leave some, but text has hardly any other control character.
pub(crate) fn is_text(start: &[u8]) -> bool {
    let is_control = |byte: u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let others = || start.iter().copied().filter(|byte| *byte != 0);
    let controls = others().filter(|byte| is_control(*byte)).count();
    // A file of nothing but NULs is what a crash of the system may leave.
    let empty = !start.is_empty() && others().next().is_none();
    !empty && controls * PER_CONTROL <= others().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::CommonOptions;

    #[test]
    fn sources_and_databases_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let common = Common::new(CommonOptions::default());
        let is_source = |path: &Path| is_source(path, &common);
        assert!(is_source(dir.path()));
        assert!(!is_source(&dir.path().join("missing")));
        let file = dir.path().join("file");
        fs::write(&file, "[hub]\n").unwrap();
        assert!(is_source(&file));
        peerdb::Writer::new().write(&file).unwrap();
        assert!(!is_source(&file));
        let database = fs::read(&file).unwrap();
        for length in [9, 100, 2048] {
            fs::write(&file, &database[..length]).unwrap();
            assert!(!is_source(&file), "{length} bytes");
        }
        for text in [
            b"[hub]\npeer = INET 192.0.2.1\0\n".as_slice(),
            b"\0[hub]\n",
            b"[\0hub]\n",
            b"hub\0= 1\n",
            b"\xff\xfe[\0h\0u\0b\0]\0",
            b"\xfe\xff\0[\0h\0u\0b\0]",
            b"[\0h\0u\0b\0]\0\n\0",
            b"\0[\0h\0u\0b\0]\0\n",
        ] {
            for name in ["file", "file.cdb"] {
                let file = dir.path().join(name);
                fs::write(&file, text).unwrap();
                assert!(is_source(&file), "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_a_damaged_database_at_the_place_of_one_only() {
        let dir = tempfile::tempdir().unwrap();
        let common = Common::new(CommonOptions::default());
        // Each value of a byte, in an order without pattern.
        let random: Vec<u8> = (0..300_u32)
            .map(|i| (i * 167 + 89).to_le_bytes()[0])
            .collect();
        for bytes in [random, vec![0; 300]] {
            for (name, expected) in [("file", bytes[3] != 0), ("file.cdb", false)] {
                let file = dir.path().join(name);
                fs::write(&file, &bytes).unwrap();
                assert_eq!(is_source(&file, &common), expected, "{name}");
            }
        }
    }
}
