// SPDX-License-Identifier: GPL-3.0-or-later
//! Reporting what could not be read in the directory of the journal.

use tracing::warn;

use super::directory::{Directory, segment_name};
use super::locked::Locked;
use super::store::Aside;

/// How many names at most are listed that look like those of segments.
const NAMED: usize = 10;

/// What could not be read in the directory. It is reported until somebody has removed the files,
/// and so has seen them, or until this helper ends.
#[derive(Debug)]
pub(super) struct Notice {
    text: String,
    files: Vec<String>,
}

impl Notice {
    /// About these segments of an earlier helper, which were renamed.
    pub(super) fn of_damage(directory: &Directory, aside: Vec<Aside>) -> Self {
        let path = directory.path().display();
        let mut text = format!("the journal of scripts in {path} was damaged:");
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
        let restart = restart();
        text.push_str(&format!(
            " scripts that were recorded there, from that line on, may be run twice or never; \
             check whether each peer is as it should be, then remove the kept file, or {restart}"
        ));
        warn!(fault = text, "the journal of scripts was damaged");
        Notice { text, files }
    }

    /// About what has the name of a segment and is none, if there is such a thing.
    pub(super) fn of_strangers(directory: &Directory) -> Option<Self> {
        let files = directory.strangers().unwrap_or_default();
        if files.is_empty() {
            return None;
        }
        let path = directory.path().display();
        let names = files.iter().take(NAMED).map(String::as_str);
        let names = names.collect::<Vec<_>>().join(", ");
        let more = match files.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "in {path} some files have names of parts of the journal of scripts but are none: \
             {names}{more}; they are neither read nor changed; if a script helper of another \
             user has written them, check whether each peer is as it should be; then remove them"
        );
        warn!(fault = text, "still writing the journal of scripts");
        Some(Notice { text, files })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether somebody has removed all files that this notice names.
    pub(super) fn is_seen(&self, locked: &Locked) -> bool {
        !self.files.is_empty() && !self.files.iter().any(|name| locked.keeps(name))
    }
}

/// How an operator starts this helper again, as part of a sentence.
pub(crate) fn restart() -> String {
    let pid = std::process::id();
    format!(
        "restart the script helper (under systemd: `systemctl restart tripe-connect-ifscripts'; \
         else: `kill {pid}', and connect starts it again)"
    )
}
