// SPDX-License-Identifier: GPL-3.0-or-later
//! The peer database in use, and what came of reading its file.

use std::sync::Arc;

use peerdb::{Database, LoadError, Record};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many faults of single records are logged; the rest is counted.
const FAULTS_LOGGED: usize = 20;

/// The database in use, and what is wrong with the file as it is now.
#[derive(Clone, Debug, Default)]
pub(super) struct DatabaseState {
    pub(super) current: Arc<Database>,
    pub(super) fault: Option<String>,
    /// Whether there was ever one that could be read.
    pub(super) loaded: bool,
    /// Whether a signal has asked for the file to be read, so that the service manager waits.
    pub(super) reloading: bool,
}

/// What came of reading the database file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loaded {
    /// It is usable.
    Usable {
        /// Its contents.
        #[serde(serialize_with = "write_parts", deserialize_with = "read_parts")]
        database: Arc<Database>,
        /// What is wrong with single records, the first few of them.
        faults: Vec<String>,
        /// How many more faults there are.
        more_faults: usize,
    },
    /// It is not.
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
                    database: Arc::new(database),
                }
            }
            Err(error) => Loaded::Faulty {
                fault: error.to_string(),
            },
        }
    }
}

/// The contents of a database that matter to core, as a recording has them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Parts {
    peers: Vec<(String, Vec<(String, String)>)>,
    users: Vec<(String, String)>,
    auto: Vec<String>,
}

fn write_parts<S: Serializer>(database: &Database, serializer: S) -> Result<S::Ok, S::Error> {
    let pair = |(first, second): (&str, &str)| (first.to_owned(), second.to_owned());
    let record = |record: &Record| (record.name().to_owned(), record.iter().map(pair).collect());
    let parts = Parts {
        peers: database.peers().map(record).collect(),
        users: database.users().map(pair).collect(),
        auto: database.auto().to_vec(),
    };
    parts.serialize(serializer)
}

fn read_parts<'de, D: Deserializer<'de>>(reader: D) -> Result<Arc<Database>, D::Error> {
    let parts = Parts::deserialize(reader)?;
    let record = |(name, pairs): (String, Vec<(String, String)>)| Record::new(&name, pairs);
    let peers = parts.peers.into_iter().map(record);
    Ok(Arc::new(Database::from_parts(
        peers,
        parts.users,
        parts.auto,
    )))
}
