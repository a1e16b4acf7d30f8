// SPDX-License-Identifier: GPL-3.0-or-later
//! From the raw records of a sound file to peers, users and the rest of a database's contents.

use std::io;
use std::str;

use tripe_admin::Words;

use crate::contents::{Contents, Special};
use crate::encoding::{self, lossy};
use crate::record::Record;
use crate::record_fault::{RecordFault, RecordFaults};
use crate::snapshot;
use crate::structure::Layout;

/// The key of the record that lists the peers to be added at start-up.
pub(crate) const AUTO: &[u8] = b"%AUTO";

/// The first character of the key of a peer's record; the peer's name follows.
pub(crate) const PEER: u8 = b'P';

/// The first character of the key of a user's record; the user's name follows.
pub(crate) const USER: u8 = b'U';

/// The first character of the key of a local record, which is part of its name.
pub(crate) const LOCAL: u8 = b'$';

/// Reads every record of a file that passed verification as `layout`.
///
/// # Errors
///
/// No private copy of the file could be made.
pub(crate) fn contents(bytes: &[u8], layout: &Layout) -> io::Result<Contents> {
    let mut contents = Contents::default();
    // The crate refuses a file without records as too short, though it is a sound one.
    if layout.is_empty() {
        return Ok(contents);
    }
    let cdb = snapshot::open_copy(bytes)?;
    let mut auto = None;
    for (index, record) in cdb.iter().enumerate() {
        let (key, data) = record?;
        if layout.is_found(index) {
            take(&mut contents, &mut auto, key, data);
        } else if key.iter().any(|byte| *byte != 0) {
            // Zeros are what `cdb -c -0` leaves of a record that it replaced.
            let key = lossy(&key).into();
            contents.faults.push(RecordFault::NotIndexed { key });
        }
    }
    contents.auto = auto.unwrap_or_default();
    Ok(contents)
}

/// Files one record under its kind.
fn take(contents: &mut Contents, auto: &mut Option<Vec<String>>, key: Vec<u8>, data: Vec<u8>) {
    let faults = &mut contents.faults;
    match key.split_first() {
        Some((&PEER, name)) => match str::from_utf8(name) {
            Ok(name) if !name.is_empty() => {
                contents.peers.push(record(name, &data, faults));
            }
            _ => faults.push(RecordFault::PeerName {
                name: lossy(name).into(),
            }),
        },
        Some((&USER, user)) => match (str::from_utf8(user), str::from_utf8(&data)) {
            (Ok(user), Ok(peer)) if !user.is_empty() && !peer.is_empty() => {
                contents.users.push((user.into(), peer.into()));
            }
            _ => faults.push(RecordFault::User {
                user: lossy(user).into(),
            }),
        },
        _ if key == AUTO => match str::from_utf8(&data) {
            _ if auto.is_some() => faults.push(RecordFault::DuplicateAuto),
            Ok(names) => *auto = Some(Words::new(names).owned()),
            Err(_) => {
                *auto = Some(Vec::new());
                faults.push(RecordFault::Auto);
            }
        },
        Some((&LOCAL, _)) if str::from_utf8(&key).is_ok() => {
            contents.locals.push(record(&lossy(&key), &data, faults));
        }
        _ => contents.specials.push(Special {
            key: key.into(),
            data: data.into(),
        }),
    }
}

/// Decodes the data of one peer's (or local) record.
fn record(name: &str, data: &[u8], faults: &mut RecordFaults) -> Record {
    let decoded = encoding::decode(name, data);
    decoded
        .faults
        .into_iter()
        .for_each(|fault| faults.push(fault));
    let found = decoded.pairs.len();
    let record = Record::new(name, decoded.pairs.iter().map(|(key, value)| (key, value)));
    if record.len() < found {
        let mut keys: Vec<&str> = decoded.pairs.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        for same in keys.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
            let (peer, key) = (name.into(), same[0].into());
            faults.push(RecordFault::DuplicateKey { peer, key });
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use crate::{Database, RecordFault, Writer};

    fn read(entries: &[(&[u8], &[u8])]) -> Database {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.cdb");
        let mut writer = Writer::new();
        for (key, data) in entries {
            writer.put_raw(*key, *data);
        }
        writer.write(&path).unwrap();
        Database::load(&path).unwrap()
    }

    #[test]
    fn every_kind_of_record_is_filed() {
        let database = read(&[
            (b"Phub", b"peer=INET+hub+4070;watch=t"),
            (b"Uann", b"hub"),
            (b"$local", b"a=b"),
            (b"%OTHER", b"raw\xff"),
            (b"Xunknown", b""),
            (b"$\xff", b"raw"),
            (b"%AUTO", b"hub  'two words'"),
        ]);
        assert_eq!(database.faults(), []);
        assert_eq!(database.peers().len(), 1);
        assert!(database.peer("hub").unwrap().flag("watch"));
        assert_eq!(database.user("ann"), Some("hub"));
        assert_eq!(database.auto(), ["hub", "two words"]);
        assert_eq!(database.locals()[0].name(), "$local");
        assert_eq!(database.locals()[0].get("a"), Some("b"));
        let specials: Vec<&[u8]> = database.specials().iter().map(|s| &*s.key).collect();
        assert_eq!(specials, [&b"%OTHER"[..], b"Xunknown", b"$\xff"]);
        assert_eq!(&*database.specials()[0].data, b"raw\xff");
    }

    #[test]
    fn a_bad_record_loses_nothing_but_itself() {
        let database = read(&[
            (b"P", b"a=1"),
            (b"P\xff", b"a=1"),
            (b"Pone", b"a=1;junk;b=%ff;c=%;=x;a=2;a=3"),
            (b"U", b"one"),
            (b"Uu", b""),
            (b"Uv\xff", b"one"),
            (b"Uw", b"\xff"),
            (b"%AUTO", b"\xff"),
            (b"%AUTO", b"one"),
            (b"Ptwo", b"peer=PASSIVE"),
        ]);
        let names: Vec<&str> = database.peers().map(crate::Record::name).collect();
        assert_eq!(names, ["one", "two"]);
        let one: Vec<_> = database.peer("one").unwrap().iter().collect();
        assert_eq!(one, [("a", "3"), ("c", "%")]);
        assert_eq!(database.users().len(), 0);
        assert!(database.auto().is_empty());
        let peer = || "one".into();
        assert_eq!(
            database.faults(),
            [
                RecordFault::PeerName { name: "".into() },
                RecordFault::PeerName {
                    name: "\u{fffd}".into()
                },
                RecordFault::NoEquals {
                    peer: peer(),
                    text: "junk".into()
                },
                RecordFault::NotUtf8 {
                    peer: peer(),
                    key: "b".into()
                },
                RecordFault::BrokenEscape {
                    peer: peer(),
                    key: "c".into()
                },
                RecordFault::NoKey {
                    peer: peer(),
                    text: "x".into()
                },
                RecordFault::DuplicateKey {
                    peer: peer(),
                    key: "a".into()
                },
                RecordFault::User { user: "".into() },
                RecordFault::User { user: "u".into() },
                RecordFault::User {
                    user: "v\u{fffd}".into()
                },
                RecordFault::User { user: "w".into() },
                RecordFault::Auto,
                RecordFault::DuplicateAuto,
            ]
        );
        for fault in database.faults() {
            assert!(fault.to_string().contains(": "), "{fault}");
        }
    }
}
