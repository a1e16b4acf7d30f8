// SPDX-License-Identifier: GPL-3.0-or-later
//! The peer database in use, and the result of reading its file.

use std::sync::Arc;

use connect_ipc::control::DatabaseOrigin;
use peerdb::{Database, LoadError, Record};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many faults of single records are logged; the rest is counted.
const FAULTS_LOGGED: usize = 20;

/// The database in use, and what is wrong with the present file.
#[derive(Clone, Debug, Default)]
pub(super) struct DatabaseState {
    pub(super) current: Arc<Database>,
    pub(super) fault: Option<String>,
    /// The file that the one in use was read from.
    pub(super) file: Option<DatabaseFile>,
    /// Where the one in use comes from.
    pub(super) origin: DatabaseOrigin,
    /// Whether a signal has asked for the file to be read, so that the service manager waits.
    pub(super) reloading: bool,
}

impl DatabaseState {
    /// Uses the database that the last core has saved, if there is no other. Returns whether it
    /// does.
    pub(super) fn inherit(&mut self, copy: Option<DatabaseCopy>) -> bool {
        let wanted = self.fault.is_some() && self.origin == DatabaseOrigin::None;
        if let Some(DatabaseCopy(database)) = copy.filter(|_| wanted) {
            self.current = database;
            self.origin = DatabaseOrigin::Kept;
        }
        self.origin == DatabaseOrigin::Kept
    }

    /// Whether there is one. Without one, no peer can be told to differ from it.
    pub(super) fn is_there(&self) -> bool {
        self.origin != DatabaseOrigin::None
    }

    /// The database in use, if it was read from the file.
    pub(super) fn read_from_file(&self) -> Option<&Arc<Database>> {
        (self.origin == DatabaseOrigin::File).then_some(&self.current)
    }
}

/// A database as core saves it for the next core: the parts that core uses, without its faults.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DatabaseCopy(
    #[serde(serialize_with = "write_parts", deserialize_with = "read_parts")] pub Arc<Database>,
);

/// The file that a database was read from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseFile {
    /// Its SHA-256, in hexadecimal digits.
    pub checksum: String,
    /// When it was last written, in seconds since 1970.
    pub modified: Option<u64>,
}

impl DatabaseFile {
    fn of(database: &Database) -> Option<Self> {
        const SECOND: i128 = 1_000_000_000;
        let modified = database.identity()?.modified / SECOND;
        Some(DatabaseFile {
            checksum: database.checksum()?.to_owned(),
            // It is negative if a clock was wrong.
            modified: u64::try_from(modified).ok(),
        })
    }
}

/// The result of reading the database file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loaded {
    /// The file is usable.
    Usable {
        /// Its contents.
        #[serde(serialize_with = "write_parts", deserialize_with = "read_parts")]
        database: Arc<Database>,
        /// What is wrong with single records, the first few of them.
        faults: Vec<String>,
        /// How many more faults there are.
        more_faults: usize,
        /// The file that it was read from.
        #[serde(default)]
        file: Option<DatabaseFile>,
    },
    /// The file cannot be used.
    Faulty {
        /// Why, with the remedy.
        fault: String,
    },
}

impl From<Result<Database, LoadError>> for Loaded {
    fn from(result: Result<Database, LoadError>) -> Self {
        match result {
            Ok(database) => {
                let faults = database.faults().iter().take(FAULTS_LOGGED);
                let faults: Vec<String> = faults.map(ToString::to_string).collect();
                Loaded::Usable {
                    more_faults: database.faults().len() - faults.len() + database.faults_omitted(),
                    faults,
                    file: DatabaseFile::of(&database),
                    database: Arc::new(database),
                }
            }
            Err(error) => Loaded::Faulty {
                fault: error.to_string(),
            },
        }
    }
}

/// The contents of a database that core uses, as a recording has them: borrowed when written, owned
/// when read.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Parts<Text> {
    peers: Vec<(Text, Vec<(Text, Text)>)>,
    users: Vec<(Text, Text)>,
    auto: Vec<Text>,
}

fn write_parts<S: Serializer>(database: &Database, serializer: S) -> Result<S::Ok, S::Error> {
    let peers = database.peers();
    let parts = Parts {
        peers: peers
            .map(|record| (record.name(), record.iter().collect()))
            .collect(),
        users: database.users().collect(),
        auto: database.auto().iter().map(String::as_str).collect(),
    };
    parts.serialize(serializer)
}

fn read_parts<'de, D: Deserializer<'de>>(reader: D) -> Result<Arc<Database>, D::Error> {
    let parts = Parts::<String>::deserialize(reader)?;
    let record = |(name, pairs): (String, Vec<(String, String)>)| Record::new(&name, pairs);
    let peers = parts.peers.into_iter().map(record);
    Ok(Arc::new(Database::from_parts(
        peers,
        parts.users,
        parts.auto,
    )))
}
