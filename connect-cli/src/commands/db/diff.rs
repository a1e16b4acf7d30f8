// SPDX-License-Identifier: GPL-3.0-or-later
//! `db diff`: what is different between two databases.

use std::path::PathBuf;

use clap::Args;
use connect_runtime::exit::Exit;
use peerdb::Change;
use peerdb::diff::RecordChange;
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
struct Entry<'a> {
    what: Subject,
    /// The peer, local record or user; `null` if only the order of the peers to be added at
    /// start-up changed.
    name: Option<&'a str>,
    change: Kind,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

/// What is different.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Subject {
    /// A peer's record.
    Peer,
    /// A local record.
    Local,
    /// The peer that a user stands for.
    User,
    /// The list of peers to be added at start-up.
    Auto,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Added,
    Removed,
    Changed,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    /// The keys of a record.
    Keys { keys: Vec<KeyEntry<'a>> },
    /// The peers of a user.
    Peers {
        old: Option<&'a str>,
        new: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct KeyEntry<'a> {
    key: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(change: &'a Change) -> Self {
        let auto = |name, change| Entry {
            what: Subject::Auto,
            name,
            change,
            details: None,
        };
        match change {
            Change::Peer(record) => Entry::of_record(Subject::Peer, record),
            Change::Local(record) => Entry::of_record(Subject::Local, record),
            Change::User { user, old, new } => Entry {
                what: Subject::User,
                name: Some(user),
                change: match (old, new) {
                    (None, _) => Kind::Added,
                    (_, None) => Kind::Removed,
                    _ => Kind::Changed,
                },
                details: Some(Details::Peers {
                    old: old.as_deref(),
                    new: new.as_deref(),
                }),
            },
            Change::AutoAdded { peer } => auto(Some(peer), Kind::Added),
            Change::AutoRemoved { peer } => auto(Some(peer), Kind::Removed),
            Change::AutoReordered => auto(None, Kind::Changed),
        }
    }

    fn of_record(what: Subject, record: &'a RecordChange) -> Self {
        let key = |key, old, new| KeyEntry { key, old, new };
        let (change, keys) = match record {
            RecordChange::Added(record) => {
                let keys = record.iter().map(|(name, new)| key(name, None, Some(new)));
                (Kind::Added, keys.collect())
            }
            RecordChange::Removed(record) => {
                let keys = record.iter().map(|(name, old)| key(name, Some(old), None));
                (Kind::Removed, keys.collect())
            }
            RecordChange::Changed { keys, .. } => {
                let keys = keys
                    .iter()
                    .map(|change| key(&change.key, change.old.as_deref(), change.new.as_deref()));
                (Kind::Changed, keys.collect())
            }
        };
        Entry {
            what,
            name: Some(record.name()),
            change,
            details: Some(Details::Keys { keys }),
        }
    }
}

impl Kind {
    /// The sign and colour of a change.
    const fn sign(self) -> (char, Paint) {
        match self {
            Kind::Added => ('+', Paint::Good),
            Kind::Removed => ('-', Paint::Bad),
            Kind::Changed => ('~', Paint::Doubtful),
        }
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
                changes: changes.iter().map(Entry::of).collect(),
            })?;
        } else {
            for change in &changes {
                let (sign, paint) = Entry::of(change).change.sign();
                common.out.painted(paint, &format!("{sign} {change}"))?;
            }
        }
        let differ = self.exit_code && !changes.is_empty();
        Ok(if differ { Exit::Failure } else { Exit::Success })
    }
}
