// SPDX-License-Identifier: GPL-3.0-or-later
//! Files that no correct writer makes, and files that change while they are read: never a panic, a
//! hang or a huge allocation, always either a database or an error that names the file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use peerdb::{Damage, Database, FileIdentity, LoadError, ReadError, Record, Writer};
use proptest::prelude::*;

const SAMPLE: &[u8] = include_bytes!("fixtures/sample.cdb");
const MANY: &[u8] = include_bytes!("fixtures/many.cdb");

/// Everything that can be asked of a database, so that we would see a broken one.
fn use_it(database: &Database) {
    for peer in database.peers() {
        assert_eq!(database.peer(peer.name()), Some(peer));
        for (key, value) in peer.iter() {
            assert_eq!(peer.get(key), Some(value));
        }
    }
    assert_eq!(database.peers().len(), database.sorted_peers().len());
    for (user, peer) in database.users() {
        assert_eq!(database.user(user), Some(peer));
    }
    // No message does anything to a log or a terminal, whatever the names in it.
    for finding in connect_policy::check::database(database) {
        assert!(
            !finding.to_string().contains(char::is_control),
            "{finding:?}"
        );
    }
    for change in peerdb::diff(&Database::default(), database) {
        assert!(!change.to_string().contains(char::is_control), "{change:?}");
    }
    assert!(peerdb::diff(database, database).is_empty());
    let mut writer = Writer::of(database);
    writer.put_raw("", "");
    assert!(writer.entries().len() > database.peers().len());
}

fn read(bytes: &[u8]) -> Result<Database, Damage> {
    match Database::read(bytes) {
        Ok(database) => {
            use_it(&database);
            Ok(database)
        }
        Err(ReadError::Damage(damage)) => Err(damage),
        Err(ReadError::Io(error)) => unreachable!("no private copy: {error}"),
    }
}

fn put(file: &mut [u8], at: usize, word: u32) {
    file[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn every_truncation_is_an_error() {
    for length in 0..SAMPLE.len() {
        let error = read(&SAMPLE[..length]).unwrap_err();
        if length < 2048 {
            assert_eq!(error, Damage::Short { size: length });
        }
    }
}

#[test]
fn bytes_after_the_tables_do_no_harm() {
    let mut file = SAMPLE.to_vec();
    file.extend(b"more");
    assert_eq!(read(&file).unwrap().peers().len(), 2);
}

#[test]
fn every_word_of_the_file_may_be_hostile() {
    let words = [
        0,
        1,
        7,
        8,
        2047,
        2048,
        2049,
        2490,
        2491,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX - 7,
        u32::MAX,
    ];
    let header = (0..2048).step_by(4);
    for at in header.chain((2048..SAMPLE.len() - 4).step_by(2)) {
        for word in words {
            let mut file = SAMPLE.to_vec();
            put(&mut file, at, word);
            let _ = read(&file);
        }
    }
}

#[test]
fn lengths_that_overflow_together_are_refused() {
    let lengths = [
        4,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        u32::MAX - 7,
        u32::MAX,
    ];
    for key in lengths {
        for data in lengths {
            let mut file = SAMPLE.to_vec();
            put(&mut file, 2048, key);
            put(&mut file, 2052, data);
            assert!(matches!(read(&file), Err(Damage::Record { .. })));
        }
    }
}

#[test]
fn garbage_is_no_database() {
    for garbage in [
        b"".to_vec(),
        b"[hub]\nwatch = t\n".to_vec(),
        vec![0; 2048],
        vec![0; 100_000],
        vec![0xff; 100_000],
        b"#!/bin/sh\n".repeat(1000),
    ] {
        assert!(read(&garbage).is_err());
    }
}

#[test]
fn an_error_names_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    fs::write(&path, "junk").unwrap();
    let message = Database::load(&path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(message.contains("it has 4 bytes"), "{message}");
    assert!(
        message.ends_with("compile it again from its sources with `connect-cli db compile`"),
        "{message}"
    );

    fs::remove_file(&path).unwrap();
    let error = Database::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }), "{error}");
    assert!(matches!(
        Database::load(dir.path()),
        Err(LoadError::NotAFile { .. })
    ));
}

/// A database of one peer that is as long as `padding` asks, in a file of its own.
fn database(path: &PathBuf, padding: usize) -> Result<(), peerdb::WriteError> {
    let mut writer = Writer::new();
    writer.put_record(&Record::new("hub", [("padding", "x".repeat(padding))]));
    writer.write(path)
}

#[test]
fn a_loaded_database_does_not_depend_on_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    database(&path, 100_000).unwrap();
    let loaded = Database::load(&path).unwrap();
    assert_eq!(loaded.identity(), Some(FileIdentity::of(&path).unwrap()));

    // A mapping of the file would now end the process.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    use_it(&loaded);
    assert_eq!(
        loaded.peer("hub").unwrap().get("padding").unwrap().len(),
        100_000
    );
    assert_ne!(loaded.identity(), Some(FileIdentity::of(&path).unwrap()));
    assert!(matches!(
        Database::load(&path),
        Err(LoadError::Damaged { .. })
    ));

    fs::remove_file(&path).unwrap();
    use_it(&loaded);
}

#[test]
fn a_file_renamed_over_while_it_is_read_is_never_half_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    database(&path, 1).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for padding in (1..40).map(|n| n * 5000) {
                database(&path, padding).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut last = false;
        while !last {
            last = done.load(Ordering::Relaxed);
            match Database::load(&path) {
                Ok(database) => {
                    assert_eq!(database.faults(), []);
                    assert!(database.peer("hub").is_some());
                }
                Err(LoadError::Unstable { .. }) => {}
                Err(error) => unreachable!("{error}"),
            }
        }
    });
    assert_eq!(
        Database::load(&path)
            .unwrap()
            .peer("hub")
            .unwrap()
            .get("padding")
            .unwrap()
            .len(),
        39 * 5000
    );
}

#[test]
fn a_file_rewritten_in_place_while_it_is_read_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    fs::write(&path, MANY).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().write(true).open(&path).unwrap();
            for round in 0..200_u32 {
                file.set_len(u64::from(round) * 100).unwrap();
                file.write_all_at(MANY, 0).unwrap();
                file.write_all_at(&round.to_le_bytes(), 2048).unwrap();
                file.flush().unwrap();
            }
            fs::write(&path, MANY).unwrap();
            done.store(true, Ordering::Relaxed);
        });
        let mut last = false;
        while !last {
            last = done.load(Ordering::Relaxed);
            match Database::load(&path) {
                Ok(database) => use_it(&database),
                Err(LoadError::Unstable { .. } | LoadError::Damaged { .. }) => {}
                Err(error) => unreachable!("{error}"),
            }
        }
    });
    assert_eq!(Database::load(&path).unwrap().peers().len(), 300);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_never_make_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut file = SAMPLE.to_vec();
        for (at, byte) in changes {
            file[at.index(SAMPLE.len())] = byte;
        }
        let _ = read(&file);
    }

    #[test]
    fn changed_words_never_make_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4)
    ) {
        let mut file = MANY.to_vec();
        for (at, word) in changes {
            put(&mut file, at.index(MANY.len() / 4 - 1) * 4, word);
        }
        let _ = read(&file);
    }

    /// Words that point somewhere into the file pass more of the checks than others.
    #[test]
    fn plausible_words_never_make_it_panic(
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..u32::try_from(SAMPLE.len()).unwrap_or(0) + 8), 1..4)
    ) {
        let mut file = SAMPLE.to_vec();
        for (at, word) in changes {
            put(&mut file, at.index(SAMPLE.len() - 4), word);
        }
        let _ = read(&file);
    }

    #[test]
    fn pieces_moved_about_never_make_it_panic(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        length in 0..300_usize,
    ) {
        let mut file = SAMPLE.to_vec();
        let (from, to) = (from.index(file.len()), to.index(file.len()));
        let length = length.min(file.len() - from.max(to));
        file.copy_within(from..from + length, to);
        let _ = read(&file);
        file.rotate_left(from);
        let _ = read(&file);
    }

    #[test]
    fn garbage_never_makes_it_panic(file in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let _ = read(&file);
    }

}

proptest! {
    // Each case waits for the disk twice, which takes seconds if the disk is busy.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sound files of unsound records.
    #[test]
    fn any_records_are_read(
        records in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..8),
             proptest::collection::vec(any::<u8>(), 0..40),
             prop::sample::select(&b"PU$%"[..])),
            0..12)
    ) {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("peers.cdb");
        let mut writer = Writer::new();
        for (key, data, kind) in &records {
            writer.put_raw([&[*kind], &key[..]].concat(), data);
        }
        writer.write(&path)?;
        use_it(&Database::load(&path)?);
    }

    #[test]
    fn any_peers_are_written_and_read_again(
        peers in proptest::collection::btree_map(
            "[^$].{0,8}",
            proptest::collection::btree_map(".{1,6}", ".{0,12}", 0..6),
            0..10)
    ) {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("peers.cdb");
        let mut writer = Writer::new();
        for (name, pairs) in &peers {
            writer.put_record(&Record::new(name, pairs));
            writer.put_user(name, name);
        }
        writer.put_auto(peers.keys());
        writer.write(&path)?;
        let database = Database::load(&path)?;
        prop_assert_eq!(database.faults(), &[]);
        prop_assert_eq!(database.peers().len(), peers.len());
        prop_assert!(database.auto().iter().eq(peers.keys()));
        for (name, pairs) in &peers {
            prop_assert_eq!(database.peer(name), Some(&Record::new(name, pairs)));
            prop_assert_eq!(database.user(name), Some(name.as_str()));
        }
    }
}
