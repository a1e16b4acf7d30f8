// SPDX-License-Identifier: GPL-3.0-or-later
//! The file in which core saves the database that it uses, so that the next core knows the peers
//! even if the operator's file is faulty.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::DatabaseCopy;
use crate::state_file;

/// The file's name in the state directory.
pub(crate) const NAME: &str = "database.json";

/// The version of its form. It is raised when an old reader would misunderstand a new writer.
const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    schema: u32,
    database: DatabaseCopy,
}

/// Reads the file of an earlier core in `directory`; `None` if there is none.
///
/// # Errors
/// As [`state_file::load`].
pub(crate) fn load(directory: &Path) -> anyhow::Result<Option<DatabaseCopy>> {
    let document: Option<Document> = state_file::load(&directory.join(NAME), SCHEMA)?;
    Ok(document.map(|document| document.database))
}

/// As [`load`], from the bytes of the file; and the bytes that [`save`] writes of it, with whether
/// they are recognized as being of it.
#[cfg(fuzzing)]
pub(crate) fn of_bytes(bytes: &[u8]) -> anyhow::Result<(DatabaseCopy, Vec<u8>, bool)> {
    let document: Document = state_file::decode(bytes, Path::new(NAME), SCHEMA)?;
    let written = serde_json::to_vec(&document)?;
    let is_own = is_text_of(&document, &written);
    Ok((document.database, written, is_own))
}

/// Writes the file, unless it already has this content.
///
/// # Errors
/// If the system refuses; the file is unchanged then.
pub(crate) fn save(directory: &Path, database: DatabaseCopy) -> io::Result<()> {
    let document = Document {
        schema: SCHEMA,
        database,
    };
    if state_file::read(&directory.join(NAME)).is_ok_and(|before| is_text_of(&document, &before)) {
        return Ok(());
    }
    state_file::replace(directory, NAME, |file| {
        Ok(serde_json::to_writer(file, &document)?)
    })
}

/// Whether this is the document's text, which is compared piece by piece.
fn is_text_of(document: &Document, text: &[u8]) -> bool {
    let mut rest = Expected(text);
    serde_json::to_writer(&mut rest, document).is_ok() && rest.0.is_empty()
}

/// The text that must be written next. Writing anything else fails.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.0.strip_prefix(bytes);
        self.0 = rest.ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerdb::{Database, Record};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Arc;

    fn database() -> DatabaseCopy {
        let pairs = [
            ("watch", "t"),
            ("odd key", "\u{e9} \"x\" \\"),
            ("empty", ""),
        ];
        let records = [
            Record::new("q", pairs),
            Record::new("p", [("peer", "PASSIVE")]),
        ];
        let users = [("u".to_owned(), "p".to_owned())];
        let auto = vec!["q".to_owned(), "with space".to_owned()];
        DatabaseCopy(Arc::new(Database::from_parts(records, users, auto)))
    }

    #[test]
    fn a_database_that_was_saved_is_loaded_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("state");
        assert!(load(&directory).unwrap().is_none());
        save(&directory, database()).unwrap();
        let DatabaseCopy(loaded) = load(&directory).unwrap().unwrap();
        let DatabaseCopy(saved) = database();
        assert!(loaded.peers().eq(saved.peers()), "in the same order");
        assert!(loaded.users().eq(saved.users()));
        assert_eq!(loaded.auto(), saved.auto());
    }

    /// As in `saved_state.rs`.
    #[test]
    fn the_form_of_the_file_is_as_released() {
        let released = include_str!("../fixtures/database.json").trim_end();
        let document: Document = serde_json::from_str(released).unwrap();
        assert_eq!(document.schema, SCHEMA);
        assert_eq!(serde_json::to_string(&document).unwrap(), released);
        let DatabaseCopy(loaded) = document.database;
        assert!(loaded.peers().eq(database().0.peers()));
    }

    #[test]
    fn one_that_is_the_same_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let inode = || fs::metadata(dir.path().join(NAME)).unwrap().ino();
        save(dir.path(), database()).unwrap();
        let first = inode();
        save(dir.path(), database()).unwrap();
        assert_eq!(inode(), first);
        save(dir.path(), DatabaseCopy(Arc::default())).unwrap();
        assert_eq!(load(dir.path()).unwrap().unwrap().0.peers().len(), 0);
        let empty = inode();
        let text = fs::read(dir.path().join(NAME)).unwrap();
        fs::write(dir.path().join(NAME), [&text[..], b" "].concat()).unwrap();
        save(dir.path(), DatabaseCopy(Arc::default())).unwrap();
        assert_ne!(inode(), empty, "something follows it");
    }
}
