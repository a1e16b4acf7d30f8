// SPDX-License-Identifier: GPL-3.0-or-later
//! What the running service has loaded, to compare a database with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use connect_ipc::changes::{LoadedRecord, PeerChange, RecordStanding};
use connect_ipc::control::{PeerState, PeerStatus, Reply, Request};
use connect_policy::changes::{of_absent, of_present};
use connect_runtime::exit::Exit;
use peerdb::{Database, Record};

use crate::client::connection::{Control, ControlError};
use crate::client::state::StateReader;
use crate::error::Error;

/// What the running service has loaded is called this.
pub(super) const NAME: &str = "the running service";

/// How often reading begins again when the service has loaded another database meanwhile.
const ATTEMPTS: usize = 5;

/// What the running service has.
#[derive(Debug)]
pub(super) struct Running {
    /// The file that it reads.
    pub(super) path: PathBuf,
    /// Its records of peers.
    pub(super) database: Database,
    /// The records that connections were made with, where they are others.
    in_use: HashMap<String, Record>,
    /// Peers whose records are too large to be told, so they cannot be compared.
    untold: HashSet<String>,
    /// The peers that are there or expected.
    peers: Vec<KnownPeer>,
}

/// What is kept of a peer.
#[derive(Debug)]
struct KnownPeer {
    name: String,
    state: PeerState,
    record: Option<RecordStanding>,
}

impl From<PeerStatus> for KnownPeer {
    fn from(peer: PeerStatus) -> Self {
        KnownPeer {
            name: peer.name,
            state: peer.state,
            record: peer.connection.record,
        }
    }
}

impl Running {
    /// Asks the service.
    pub(super) async fn read(control: &mut Control) -> Result<Self, Error> {
        let (mut reader, service) = StateReader::begin(control).await?;
        let mut peers = Vec::new();
        while let Some(some) = reader.next().await? {
            peers.extend(some.into_iter().map(KnownPeer::from));
        }
        for _ in 0..ATTEMPTS {
            let Some(loaded) = records(control).await? else {
                continue;
            };
            let mut running = Running {
                path: PathBuf::from(service.database.path),
                database: Database::default(),
                in_use: HashMap::new(),
                untold: HashSet::new(),
                peers,
            };
            let mut known = Vec::new();
            for loaded in loaded {
                let name = loaded.peer;
                if let Some(pairs) = loaded.in_use {
                    running
                        .in_use
                        .insert(name.clone(), Record::new(&name, pairs));
                }
                match loaded.record {
                    Some(pairs) => known.push(Record::new(&name, pairs)),
                    None => {
                        running.untold.insert(name);
                    }
                }
            }
            running.database = Database::from_parts(known, [], []);
            return Ok(running);
        }
        Err(Error::OtherOutcome {
            subject: NAME.to_owned(),
            what: "it loaded another database meanwhile, several times in a row; compare again \
                   later"
                .to_owned(),
            exit: Exit::Failure,
        })
    }

    /// What of a database can be compared with it.
    pub(super) fn comparable(&self, database: &Database) -> Database {
        let told = |record: &&Record| !self.untold.contains(record.name());
        let records = database.peers().filter(told).cloned();
        Database::from_parts(records, [], [])
    }

    /// The peers that will not be as `database` has them once the service has loaded it: removed
    /// ones first, then by name.
    pub(super) async fn waiting(
        &self,
        database: &Database,
        control: &mut Control,
    ) -> Result<Vec<PeerChange>, ControlError> {
        let mut waiting = Vec::new();
        let mut known: HashMap<&str, PeerState> = HashMap::new();
        for peer in &self.peers {
            known.insert(&peer.name, peer.state);
            if peer.state.is_present() && !self.untold.contains(&peer.name) {
                let in_use = self.record_in_use(peer, control).await?;
                waiting.extend(of_present(in_use.as_ref(), database.peer(&peer.name)));
            }
        }
        let auto: BTreeSet<&str> = database.auto().iter().map(String::as_str).collect();
        let is_new = |name: &&str| match known.get(name) {
            None | Some(PeerState::Absent | PeerState::Waiting) => true,
            Some(_) => false,
        };
        let new = auto.into_iter().filter(is_new);
        waiting.extend(new.filter_map(|name| of_absent(database.peer(name)?)));
        // In the order in which the service makes them so.
        waiting.sort_by_key(|change| {
            let others = change.standing != RecordStanding::Removed;
            (others, change.peer.clone())
        });
        Ok(waiting)
    }

    /// The record that a peer's connection was made with, if it had one.
    async fn record_in_use(
        &self,
        peer: &KnownPeer,
        control: &mut Control,
    ) -> Result<Option<Record>, ControlError> {
        let name = peer.name.as_str();
        if peer.record != Some(RecordStanding::Removed) {
            let in_use = self.in_use.get(name);
            return Ok(in_use.or(self.database.peer(name)).cloned());
        }
        control.ask(Request::Info {
            peer: name.to_owned(),
        })?;
        match control.reply().await? {
            Reply::Peer(detail) => Ok(detail.record.map(|pairs| Record::new(name, pairs))),
            // It has gone meanwhile.
            Reply::Failed(_) => Ok(None),
            _ => Err(ControlError::Unexpected),
        }
    }
}

/// All records; `None` if another database was loaded meanwhile.
async fn records(control: &mut Control) -> Result<Option<Vec<LoadedRecord>>, ControlError> {
    let mut records: Vec<LoadedRecord> = Vec::new();
    let mut reloads = None;
    loop {
        let after = records.last().map(|it| it.peer.clone());
        control.ask(Request::Records {
            after: after.unwrap_or_default(),
        })?;
        let Reply::Records(page) = control.reply().await? else {
            return Err(ControlError::Unexpected);
        };
        if *reloads.get_or_insert(page.reloads) != page.reloads {
            return Ok(None);
        }
        let ended = page.records.is_empty() || !page.more;
        records.extend(page.records);
        if ended {
            return Ok(Some(records));
        }
    }
}
