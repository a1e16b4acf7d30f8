// SPDX-License-Identifier: GPL-3.0-or-later
//! What loading a database did not change: which peers need a command, and which command.

use serde::{Deserialize, Serialize};

/// How a peer differs from the database, if it does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RecordStanding {
    /// The server has it with values of an earlier record.
    Changed,
    /// The server has it, but the database no longer has it.
    Removed,
    /// It is to be added at start-up, and the server has never had it in this run of core.
    New,
}

impl RecordStanding {
    /// Every standing.
    pub const ALL: [RecordStanding; 3] = [
        RecordStanding::Changed,
        RecordStanding::Removed,
        RecordStanding::New,
    ];

    /// The standing in one word, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordStanding::Changed => "changed",
            RecordStanding::Removed => "removed",
            RecordStanding::New => "new",
        }
    }
}

/// What makes a peer agree with the database.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Add it; if the server has it, remove it before.
    Active,
    /// Remove it. A passive peer connects again by itself.
    Kill,
    /// Run its `ifup` again, which does not change the tunnel.
    Ifup,
}

impl Remedy {
    /// The command of `connect-cli` that does it.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Remedy::Active => "active",
            Remedy::Kill => "kill",
            Remedy::Ifup => "ifup",
        }
    }
}

/// A peer that differs from the database.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PeerChange {
    /// The peer's name.
    pub peer: String,
    /// How it differs from the database.
    pub standing: RecordStanding,
    /// The keys whose new values are not used yet, sorted; empty unless the record was changed.
    pub keys: Vec<String>,
    /// What is to be done.
    pub remedy: Remedy,
}

/// How many peers differ from the database.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct ChangeCounts {
    /// Those with values of an earlier record.
    pub changed: u64,
    /// Those that the database no longer has.
    pub removed: u64,
    /// Those that were not added yet.
    pub new: u64,
}

impl ChangeCounts {
    /// Counts one peer more.
    pub const fn add(&mut self, standing: RecordStanding) {
        let count = match standing {
            RecordStanding::Changed => &mut self.changed,
            RecordStanding::Removed => &mut self.removed,
            RecordStanding::New => &mut self.new,
        };
        *count += 1;
    }

    /// How many there are of one kind.
    #[must_use]
    pub const fn of(&self, standing: RecordStanding) -> u64 {
        match standing {
            RecordStanding::Changed => self.changed,
            RecordStanding::Removed => self.removed,
            RecordStanding::New => self.new,
        }
    }

    /// How many there are of all kinds.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.changed + self.removed + self.new
    }
}

/// The peers that differ from the database.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// How many peers the database has.
    pub peers: u64,
    /// How many of them there are.
    pub counts: ChangeCounts,
    /// The first of them: removed ones, then the others, each sorted by name.
    pub list: Vec<PeerChange>,
}

/// The result for one peer when changes were applied.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct AppliedChange {
    /// The peer's name.
    pub peer: String,
    /// What was done.
    pub remedy: Remedy,
    /// Code and arguments, if it failed.
    pub failure: Option<Vec<String>>,
}

/// Some records of the database in use.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct RecordPage {
    /// How many databases core had loaded when it sent this. Pages of different databases do not
    /// belong together.
    pub reloads: u64,
    /// Records, sorted by name.
    pub records: Vec<LoadedRecord>,
    /// Whether there are more after these.
    pub more: bool,
}

/// One record of the database in use.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct LoadedRecord {
    /// The peer's name.
    pub peer: String,
    /// Keys and values, sorted by key; `None` if they do not fit into a message.
    pub record: Option<Vec<(String, String)>>,
    /// The record with which the peer's connection was made, if values of it are still in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<Vec<(String, String)>>,
}
