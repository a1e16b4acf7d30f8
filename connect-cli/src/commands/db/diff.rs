// SPDX-License-Identifier: GPL-3.0-or-later
//! `db diff`: what is different between two databases.

use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::Change;
use peerdb::diff::{KeyChange, RecordChange};
use serde::Serialize;

use super::input;
use crate::common::Common;
use crate::error::Error;
use crate::output::SCHEMA;
use crate::output::paint::Paint;

/// Show what is different between two databases
#[derive(Args, Debug)]
#[command(after_help = "\
    Peers that are the same in both are not mentioned, in whatever order they stand. Sources \
    are compiled first, without writing anything.\n\n\
    Examples:\n\
    \x20 connect-cli db diff /etc/tripe/peers.cdb new.cdb\n\
    \x20 connect-cli db diff /etc/tripe/peers.cdb /etc/tripe/peers.d")]
pub(crate) struct Diff {
    /// The database before: a database, or a file or directory of sources.
    old: PathBuf,
    /// The database now: a database, or a file or directory of sources.
    new: PathBuf,
    /// Exit with 1 if there is a difference.
    #[arg(long)]
    exit_code: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct DiffReport<'a> {
    schema: u32,
    old: String,
    new: String,
    changes: Vec<Entry<'a>>,
}

/// One difference.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
enum Entry<'a> {
    /// A peer's record.
    Peer(RecordEntry<'a>),
    /// A local record.
    Local(RecordEntry<'a>),
    /// The peer that a user stands for.
    User {
        name: &'a str,
        change: Kind,
        old: Option<&'a str>,
        new: Option<&'a str>,
    },
    /// The list of peers to be added at start-up; `null` if only their order changed.
    Auto { name: Option<&'a str>, change: Kind },
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Added,
    Removed,
    Changed,
}

#[derive(Serialize)]
struct RecordEntry<'a> {
    name: &'a str,
    change: Kind,
    keys: Vec<KeyEntry<'a>>,
}

#[derive(Serialize)]
struct KeyEntry<'a> {
    key: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
}

impl<'a> From<&'a KeyChange> for KeyEntry<'a> {
    fn from(change: &'a KeyChange) -> Self {
        KeyEntry {
            key: &change.key,
            old: change.old.as_deref(),
            new: change.new.as_deref(),
        }
    }
}

impl<'a> From<&'a RecordChange> for RecordEntry<'a> {
    fn from(change: &'a RecordChange) -> Self {
        let (kind, keys) = match change {
            RecordChange::Added(record) => {
                let keys = record.iter().map(|(key, value)| KeyEntry {
                    key,
                    old: None,
                    new: Some(value),
                });
                (Kind::Added, keys.collect())
            }
            RecordChange::Removed(record) => {
                let keys = record.iter().map(|(key, value)| KeyEntry {
                    key,
                    old: Some(value),
                    new: None,
                });
                (Kind::Removed, keys.collect())
            }
            RecordChange::Changed { keys, .. } => {
                (Kind::Changed, keys.iter().map(KeyEntry::from).collect())
            }
        };
        RecordEntry {
            name: change.name(),
            change: kind,
            keys,
        }
    }
}

impl<'a> From<&'a Change> for Entry<'a> {
    fn from(change: &'a Change) -> Self {
        let auto = |name, change| Entry::Auto { name, change };
        match change {
            Change::Peer(record) => Entry::Peer(record.into()),
            Change::Local(record) => Entry::Local(record.into()),
            Change::User { user, old, new } => Entry::User {
                name: user,
                change: match (old, new) {
                    (None, _) => Kind::Added,
                    (_, None) => Kind::Removed,
                    _ => Kind::Changed,
                },
                old: old.as_deref(),
                new: new.as_deref(),
            },
            Change::AutoAdded { peer } => auto(Some(peer), Kind::Added),
            Change::AutoRemoved { peer } => auto(Some(peer), Kind::Removed),
            Change::AutoReordered => auto(None, Kind::Changed),
        }
    }
}

/// The sign and colour of a change.
fn sign(change: &Change) -> (char, Paint) {
    let added = ('+', Paint::Good);
    let removed = ('-', Paint::Bad);
    match change {
        Change::Peer(RecordChange::Added(_))
        | Change::Local(RecordChange::Added(_))
        | Change::User { old: None, .. }
        | Change::AutoAdded { .. } => added,
        Change::Peer(RecordChange::Removed(_))
        | Change::Local(RecordChange::Removed(_))
        | Change::User { new: None, .. }
        | Change::AutoRemoved { .. } => removed,
        _ => ('~', Paint::Doubtful),
    }
}

impl Diff {
    pub(crate) fn run(self, common: &mut Common) -> Result<Exit, Error> {
        let old = input::complete(&self.old, common)?;
        let new = input::complete(&self.new, common)?;
        let changes = peerdb::diff(&old, &new);
        if self.json {
            common.out.json(&DiffReport {
                schema: SCHEMA,
                old: self.old.display().to_string(),
                new: self.new.display().to_string(),
                changes: changes.iter().map(Entry::from).collect(),
            })?;
        } else {
            for change in &changes {
                let (sign, paint) = sign(change);
                common.out.painted(paint, &format!("{sign} {change}"))?;
            }
        }
        let differ = self.exit_code && !changes.is_empty();
        Ok(if differ { Exit::Failure } else { Exit::Success })
    }
}
