// SPDX-License-Identifier: GPL-3.0-or-later
//! The table of everything in one peer database.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::contents::{Contents, Special};
use crate::decode;
use crate::identity::FileIdentity;
use crate::load::LoadError;
use crate::record::Record;
use crate::record_fault::RecordFault;
use crate::snapshot;
use crate::structure::{self, Damage};

/// The SHA-256 of a file's bytes, as text.
fn checksum(bytes: &[u8]) -> Box<str> {
    let digits = Sha256::digest(bytes).into_iter();
    digits
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

/// Everything in one `peers.cdb`, owned and immutable.
///
/// Share it with [`Arc`](std::sync::Arc) and replace it whole. A record taken from it
/// ([`Record::clone`] is cheap) stays valid when the database is gone.
#[derive(Debug, Default)]
pub struct Database {
    /// Sorted by name, each name once.
    peers: Box<[Record]>,
    /// Indices into `peers`, in the order of the file.
    order: Box<[u32]>,
    /// User and peer, sorted by user, each user once.
    users: Box<[(Box<str>, Box<str>)]>,
    auto: Box<[String]>,
    /// Indices into `auto`, sorted by name.
    auto_by_name: Box<[u32]>,
    locals: Box<[Record]>,
    specials: Box<[Special]>,
    identity: Option<FileIdentity>,
    checksum: Option<Box<str>>,
    faults: Box<[RecordFault]>,
    faults_omitted: usize,
}

impl Database {
    /// Reads the database in the file `path`.
    ///
    /// The file is copied, checked and read whole; it is neither kept open nor mapped. This is
    /// blocking work: some milliseconds for thousands of peers from a local disk.
    ///
    /// A fault in one record does not fail the load, see [`Database::faults`].
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not a sound database; the message names it and the remedy.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let copied = snapshot::copy(path)?;
        let mut database = Self::read(&copied.bytes).map_err(|error| {
            let path = path.to_owned();
            match error {
                ReadError::Damage(damage) => LoadError::Damaged { path, damage },
                ReadError::Io(source) => LoadError::Snapshot { path, source },
            }
        })?;
        database.identity = Some(copied.identity);
        database.checksum = Some(checksum(&copied.bytes));
        Ok(database)
    }

    /// Reads a database from the bytes of a file.
    ///
    /// # Errors
    ///
    /// The bytes are not a sound database, or no private copy of them could be made.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let layout = structure::verify(bytes).map_err(ReadError::Damage)?;
        let contents = decode::contents(bytes, &layout).map_err(ReadError::Io)?;
        Ok(Self::assemble(contents))
    }

    /// A database of the given parts, such as a test needs; as in a file, the first record of
    /// a peer or user counts.
    pub fn from_parts(
        peers: impl IntoIterator<Item = Record>,
        users: impl IntoIterator<Item = (String, String)>,
        auto: impl IntoIterator<Item = String>,
    ) -> Self {
        Self::assemble(Contents {
            peers: peers.into_iter().collect(),
            users: users
                .into_iter()
                .map(|(u, p)| (u.into(), p.into()))
                .collect(),
            auto: auto.into_iter().collect(),
            ..Contents::default()
        })
    }

    pub(crate) fn assemble(mut contents: Contents) -> Self {
        let faults = &mut contents.faults;
        // Sorting is stable, so the first of several records of the same name stays first.
        let mut peers: Vec<(usize, Record)> = contents.peers.into_iter().enumerate().collect();
        peers.sort_by(|(_, a), (_, b)| a.name().cmp(b.name()));
        peers.dedup_by(|(_, later), (_, first)| {
            let same = later.name() == first.name();
            if same {
                let peer = first.name().into();
                faults.push(RecordFault::DuplicatePeer { peer });
            }
            same
        });
        let mut order: Vec<(usize, u32)> = peers.iter().map(|(at, _)| *at).zip(0..).collect();
        order.sort_unstable();
        contents.users.sort_by(|(a, _), (b, _)| a.cmp(b));
        contents.users.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                let user = (&*first.0).into();
                faults.push(RecordFault::DuplicateUser { user });
            }
            same
        });

        let auto: Box<[String]> = contents.auto.into();
        let mut auto_by_name: Vec<u32> = (0..).zip(&auto).map(|(index, _)| index).collect();
        auto_by_name.sort_by_key(|index| &auto[*index as usize]);

        let (faults, faults_omitted) = contents.faults.finish();
        Database {
            peers: peers.into_iter().map(|(_, record)| record).collect(),
            order: order.into_iter().map(|(_, sorted)| sorted).collect(),
            users: contents.users.into(),
            auto_by_name: auto_by_name.into(),
            auto,
            locals: contents.locals.into(),
            specials: contents.specials.into(),
            identity: None,
            checksum: None,
            faults,
            faults_omitted,
        }
    }

    /// The record of the peer `name`.
    #[must_use]
    pub fn peer(&self, name: &str) -> Option<&Record> {
        let index = self
            .peers
            .binary_search_by(|record| record.name().cmp(name))
            .ok()?;
        self.peers.get(index)
    }

    /// The name of the peer that the user `user` stands for (the manual, `passive`). There need not
    /// be a record for that peer.
    #[must_use]
    pub fn user(&self, user: &str) -> Option<&str> {
        let index = self
            .users
            .binary_search_by(|(name, _)| (**name).cmp(user))
            .ok()?;
        self.users.get(index).map(|(_, peer)| &**peer)
    }

    /// All peers, in the order of the file.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = &Record> + Clone {
        self.order.iter().map(|index| &self.peers[*index as usize])
    }

    /// All peers, sorted by name (as bytes).
    #[must_use]
    pub fn sorted_peers(&self) -> &[Record] {
        &self.peers
    }

    /// All users with the names of their peers, sorted by user.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.users.iter().map(|(user, peer)| (&**user, &**peer))
    }

    /// The names of the peers to be added at start-up, in the order of the file's `%AUTO` record. A
    /// name need not have a record, and may come twice.
    #[must_use]
    pub fn auto(&self) -> &[String] {
        &self.auto
    }

    /// Whether the peer `name` is among those to be added at start-up.
    #[must_use]
    pub fn is_auto(&self, name: &str) -> bool {
        let name_of = |index: &u32| self.auto.get(*index as usize).map(String::as_str);
        let sorted = &self.auto_by_name;
        let found = sorted.binary_search_by(|index| name_of(index).cmp(&Some(name)));
        found.is_ok()
    }

    /// Local records: those of sections whose names start with `$`, under that whole name.
    #[must_use]
    pub fn locals(&self) -> &[Record] {
        &self.locals
    }

    /// Records of kinds without a meaning here, in the order of the file.
    #[must_use]
    pub fn specials(&self) -> &[Special] {
        &self.specials
    }

    /// The SHA-256 of the file, in hexadecimal digits as sha256sum(1) prints it; `None` for a
    /// database that was not read from a file.
    #[must_use]
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// What tells the file apart from a later one; `None` for a database that was not read from a
    /// file.
    #[must_use]
    pub fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// Faults in single records, in the order in which they were met, the first thousand of them.
    #[must_use]
    pub fn faults(&self) -> &[RecordFault] {
        &self.faults
    }

    /// How many more faults there were than [`Database::faults`] has.
    #[must_use]
    pub fn faults_omitted(&self) -> usize {
        self.faults_omitted
    }
}

/// Why bytes could not be read as a database.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not a sound constant database.
    #[error(
        "the peer database is damaged or not in cdb format ({0}); compile it again from its sources"
    )]
    Damage(Damage),
    /// No private copy of them could be made.
    #[error(
        "no private copy of the peer database could be made ({0}); free some memory or space for \
         temporary files"
    )]
    Io(std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Database {
        Database::from_parts(
            [
                Record::new("laptop", [("peer", "PASSIVE")]),
                Record::new("hub", [("peer", "INET hub 4070")]),
                Record::new("laptop", [("peer", "INET second 1")]),
                Record::new("abc", [("watch", "t")]),
            ],
            [
                ("zoe".into(), "laptop".into()),
                ("ann".into(), "hub".into()),
                ("zoe".into(), "hub".into()),
            ],
            ["hub".into(), "hub".into(), "missing".into()],
        )
    }

    #[test]
    fn records_are_found_and_listed_in_both_orders() {
        let database = sample();
        assert_eq!(
            database.peer("hub").unwrap().get("peer"),
            Some("INET hub 4070")
        );
        assert!(database.peer("laptop").unwrap().is_passive());
        assert!(database.peer("").is_none());
        assert!(database.peer("hubs").is_none());
        let names: Vec<&str> = database.peers().map(Record::name).collect();
        assert_eq!(names, ["laptop", "hub", "abc"]);
        let names: Vec<&str> = database.sorted_peers().iter().map(Record::name).collect();
        assert_eq!(names, ["abc", "hub", "laptop"]);
        assert_eq!(database.user("zoe"), Some("laptop"));
        assert_eq!(database.user("ann"), Some("hub"));
        assert_eq!(database.user("bob"), None);
        assert!(database.users().eq([("ann", "hub"), ("zoe", "laptop")]));
        assert_eq!(database.auto(), ["hub", "hub", "missing"]);
        let found = ["hub", "missing", "abc", ""].map(|name| database.is_auto(name));
        assert_eq!(found, [true, true, false, false]);
        assert_eq!(database.identity(), None);
    }

    #[test]
    fn later_records_of_the_same_name_are_problems() {
        let database = sample();
        assert_eq!(
            database.faults(),
            [
                RecordFault::DuplicatePeer {
                    peer: "laptop".into()
                },
                RecordFault::DuplicateUser { user: "zoe".into() },
            ]
        );
        assert_eq!(database.faults_omitted(), 0);
    }

    #[test]
    fn only_so_many_problems_are_kept() {
        let twins = (0..2500).map(|_| Record::new("twin", [("a", "1")]));
        let database = Database::from_parts(twins, [], []);
        assert_eq!(database.peers().len(), 1);
        assert_eq!(database.faults().len(), 1000);
        assert_eq!(database.faults_omitted(), 1499);
    }

    #[test]
    fn the_checksum_is_that_of_the_file_and_other_databases_have_none() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(&*checksum(b"abc"), known);
        let file = tempfile::NamedTempFile::new().unwrap();
        crate::Writer::new().write(file.path()).unwrap();
        let database = Database::load(file.path()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(database.checksum(), Some(&*checksum(&bytes)));
        assert_eq!(Database::default().checksum(), None);
    }

    #[test]
    fn an_empty_database_has_nothing() {
        let database = Database::default();
        assert_eq!(database.peers().len(), 0);
        assert!(database.peer("hub").is_none());
        assert!(database.user("hub").is_none());
        assert!(database.auto().is_empty());
    }
}
