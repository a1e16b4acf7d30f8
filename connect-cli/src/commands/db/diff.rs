// SPDX-License-Identifier: GPL-3.0-or-later
//! `db diff`: what is different between two databases.

use std::path::PathBuf;

use clap::Args;
use connect_ipc::changes::PeerChange;
use connect_runtime::exit::Exit;
use peerdb::Change;
use peerdb::diff::RecordChange;
use serde::Serialize;

use super::input;
use super::running::{self, Running};
use crate::common::Common;
use crate::error::Error;
use crate::output::SCHEMA;
use crate::output::change_text::{self, ChangeReport};
use crate::output::paint::Paint;

/// Show what is different between two databases
#[derive(Args, Debug)]
#[command(after_help = "\
    Prints only what differs; the order of the records does not matter. Sources are compiled \
    first, without writing anything. Without arguments, the old database is the service's, and the \
    new one is what `db compile' would write. With one argument, that is the new one. The exit code \
    is 0 if there is no difference and 1 if there is one, as with diff(1).\n\n\
    With --running, the old database is the one that the running service has loaded, and the new \
    one is the one that you name, by default the file that the service reads. Only the records \
    of peers are compared. After the differences come the peers that will differ from the \
    database once it is loaded, each with the command that brings it in line.\n\n\
    Examples:\n\
    \x20 connect-cli db diff\n\
    \x20 connect-cli db diff old.cdb /etc/tripe/peers.cdb\n\
    \x20 connect-cli db diff --running /etc/tripe/peers.d")]
pub(crate) struct Diff {
    /// The database before: a database, or a file or directory of sources [default: the service's
    /// database]. If it is the only argument, it is the database now.
    old: Option<PathBuf>,
    /// The database now: a database, or a file or directory of sources [default: peers.d in the
    /// configuration directory].
    #[arg(conflicts_with = "running")]
    new: Option<PathBuf>,
    /// Compare with what the running service has loaded.
    #[arg(long)]
    running: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DiffReport<'a> {
    /// The version of this output, 1.
    schema: u32,
    /// The one of before.
    old: String,
    /// The one that is compared with it.
    new: String,
    /// The differences.
    changes: Vec<Entry<'a>>,
    /// With `--running`: what is to be done once the database is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<ChangeReport<'a>>>,
}

/// One difference.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Entry<'a> {
    /// What is different.
    what: Subject,
    /// The peer, local record or user; `null` if only the order of the peers to be added at
    /// start-up changed.
    name: Option<&'a str>,
    /// Whether it was added, removed or changed.
    change: Kind,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

/// What is different.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Added,
    Removed,
    Changed,
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Details<'a> {
    /// The keys of a record.
    Keys {
        /// The keys that differ.
        keys: Vec<KeyEntry<'a>>,
    },
    /// The peers of a user.
    Peers {
        /// The peer of before; `null` if there was none.
        old: Option<&'a str>,
        /// The new one; `null` if there is none.
        new: Option<&'a str>,
    },
}

#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct KeyEntry<'a> {
    /// The key.
    key: &'a str,
    /// Its value before; `null` if there was none.
    old: Option<&'a str>,
    /// Its new value; `null` if there is none.
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
    pub(crate) async fn run(self, common: &mut Common) -> Result<Exit, Error> {
        if self.running {
            return self.with_running(common).await;
        }
        let (old, new) = match (&self.old, &self.new) {
            (old, Some(new)) => (old.clone(), new.clone()),
            (Some(new), None) => (None, new.clone()),
            (None, None) => (None, input::default_sources(common)),
        };
        let old = input::or_default(old, common);
        let before = input::complete(&old, common)?;
        let now = input::complete(&new, common)?;
        let changes = peerdb::diff(&before, &now);
        let names = [old, new].map(|path| path.display().to_string());
        self.show(names, &changes, None, common)
    }

    /// Compares with what the running service has loaded.
    async fn with_running(self, common: &mut Common) -> Result<Exit, Error> {
        let mut control = common.observe().await?;
        let running = Running::read(&mut control).await?;
        let path = self.old.clone().unwrap_or_else(|| running.path.clone());
        let complete = input::complete(&path, common)?;
        let now = running.comparable(&complete);
        let changes = peerdb::diff(&running.database, &now);
        let waiting = running.waiting(&complete, &mut control).await?;
        let names = [running::NAME.to_owned(), path.display().to_string()];
        self.show(names, &changes, Some(&waiting), common)
    }

    fn show(
        &self,
        [old, new]: [String; 2],
        changes: &[Change],
        waiting: Option<&[PeerChange]>,
        common: &mut Common,
    ) -> Result<Exit, Error> {
        let program = common.program();
        if self.json {
            let command = |change| ChangeReport::new(&program, change);
            common.out.json(&DiffReport {
                schema: SCHEMA,
                old,
                new,
                changes: changes.iter().map(Entry::of).collect(),
                commands: waiting.map(|waiting| waiting.iter().map(command).collect()),
            })?;
        } else {
            for change in changes {
                let (sign, paint) = Entry::of(change).change.sign();
                common.out.painted(paint, &format!("{sign} {change}"))?;
            }
            for change in waiting.unwrap_or_default() {
                let line = format!("! {}", change_text::line(&program, change));
                common.out.painted(Paint::Doubtful, &line)?;
            }
        }
        let equal = changes.is_empty() && waiting.unwrap_or_default().is_empty();
        Ok(if equal { Exit::Success } else { Exit::Failure })
    }
}
