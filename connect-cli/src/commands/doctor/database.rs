// SPDX-License-Identifier: GPL-3.0-or-later
//! The peer database: can it be read, who may change it, does it make sense, and is it that of its
//! sources?

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use peerdb::{Database, Severity};

use super::files::{self, OTHERS_WRITE};
use super::finding::Section;
use super::sources;
use crate::commands::db::findings as remarks;
use crate::commands::db::input;
use crate::common::Common;
use crate::output::progress;
use crate::output::text;

/// Checks the database. `told` is what the service was said to find wrong with the file, so that it
/// is one fault and not two.
pub(crate) fn check(
    path: &Path,
    told: Option<&str>,
    common: &Common,
    section: &mut Section<'_>,
) -> Option<Database> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if told.is_some() => return None,
        Err(error) => {
            let subject = format!("the peer database {shown}");
            let missing =
                "compile it with `connect-cli db compile', or name the right file with -p";
            files::unreadable(&subject, &error, missing, section);
            return None;
        }
    };
    if metadata.mode() & OTHERS_WRITE != 0 {
        section.fault(
            format!(
                "everybody can write to the peer database {shown}, and so run any program \
                     with the rights of scripts"
            ),
            &format!("chmod o-w {shown}"),
        );
    }
    let database = match progress::during("reading the database", || Database::load(path)) {
        Ok(database) => database,
        Err(_) if told.is_some() => return None,
        Err(error) => {
            section.fault_with_remedy(
                error.to_string(),
                "correct that, and compile the sources again",
            );
            return None;
        }
    };
    let found = remarks::of_database(&database);
    let peers = database.sorted_peers().len();
    let peers = text::count(peers, "peer");
    let text = format!("the peer database {shown} has {peers}");
    let remedy = format!("`connect-cli db check {shown}' lists them");
    let doubtful = format!("{text}, but {}", remarks::summary(&found));
    if remarks::any(&found, Severity::Error) {
        section.fault(doubtful, &remedy);
    } else if remarks::any(&found, Severity::Warning) {
        section.warning(doubtful, &remedy);
    } else {
        section.ok(text);
    }
    let compile = |sources: &Path| input::compile(&[sources], &[], common);
    sources::check(path, &path.with_file_name(input::SOURCES), compile, section);
    Some(database)
}
