// SPDX-License-Identifier: GPL-3.0-or-later
//! Telling of what could not be read in the directory of the journal.

use tracing::warn;

use super::directory::{Directory, segment_name};
use super::locked::Locked;
use super::store::Aside;

/// How many names that are like those of segments are logged.
const NAMED: usize = 10;

/// What could not be read of the journal of an earlier helper. It is told until somebody has
/// removed the files, and so has seen them, or until this helper ends.
#[derive(Debug)]
pub(super) struct DamageNotice {
    text: String,
    files: Vec<String>,
}

impl DamageNotice {
    /// Of these segments, which were set aside.
    pub(super) fn of(directory: &Directory, aside: Vec<Aside>) -> Self {
        let path = directory.path().display();
        let mut text = format!("the journal of scripts in {path} was not whole:");
        let mut files = Vec::new();
        for Aside { name, damage } in aside {
            let segment = segment_name(damage.segment);
            let cause = damage.cause;
            match name {
                Some(name) => {
                    text.push_str(&format!(" in {segment}, which is kept as {name}, {cause};"));
                    files.push(name);
                }
                None => text.push_str(&format!(" in {segment}, which could not be kept, {cause};")),
            }
        }
        text.push_str(
            " scripts that were noted there and after that line may be run twice or never; see \
             whether each peer is as it should be, then remove the kept file, or restart \
             connect-ifscripts",
        );
        warn!(fault = text, "the journal of scripts was not whole");
        DamageNotice { text, files }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether somebody has removed all files that were kept.
    pub(super) fn is_seen(&mut self, locked: &Locked) -> bool {
        !self.files.is_empty() && !self.files.iter().any(|name| locked.keeps(name))
    }
}

/// Logs what is named like a segment and is none.
pub(super) fn tell_of_strangers(directory: &Directory) {
    let strangers = directory.strangers().unwrap_or_default();
    if strangers.is_empty() {
        return;
    }
    let path = directory.path().display();
    let names = strangers.iter().take(NAMED).map(String::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    warn!(
        %path,
        names,
        count = strangers.len(),
        "these are named like parts of the journal of scripts and are none; they are left alone"
    );
}
