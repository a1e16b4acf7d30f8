// SPDX-License-Identifier: GPL-3.0-or-later
//! Databases written by another implementation, Debian's tinycdb, and ours read by it.
//!
//! The files under `fixtures` were written by `cdb -c NAME.cdb NAME.dump` (`replaced.cdb` with
//! `-0`), so these tests run without the tool. Where `cdb` is on the path it is used as well.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use peerdb::{Database, Record, RecordFault, Writer};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Runs `cdb`; `None`, with a note, where the tool is missing.
fn cdb<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) -> Outcome<Option<Vec<u8>>> {
    let output = match Command::new("cdb").args(args).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("note: no cdb(1) on the path; only the checked-in files were used");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if output.status.success() {
        Ok(Some(output.stdout))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

/// The same database twice: the checked-in file, and one written by the tool just now.
fn databases(name: &str, flags: &[&str]) -> Outcome<Vec<Database>> {
    let mut databases = vec![Database::load(fixture(&format!("{name}.cdb")))?];
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("peers.cdb");
    let mut args = vec!["-c".into()];
    args.extend(flags.iter().map(Into::into));
    args.push(path.clone().into_os_string());
    args.push(fixture(&format!("{name}.dump")).into_os_string());
    if cdb(args)?.is_some() {
        databases.push(Database::load(&path)?);
    }
    Ok(databases)
}

#[test]
fn the_worked_example_is_read() {
    for database in databases("sample", &[]).unwrap() {
        assert_eq!(database.faults(), []);
        let names: Vec<&str> = database.peers().map(Record::name).collect();
        assert_eq!(names, ["hub", "laptop"]);
        let hub = database.peer("hub").unwrap();
        let pairs: Vec<_> = hub.iter().collect();
        assert_eq!(
            pairs,
            [
                ("auto", "t"),
                ("domain", "vpn.example.com"),
                ("every", "30s"),
                ("host", "hub.example.com"),
                ("ifname", "vpn-hub"),
                ("ifup", "/usr/sbin/tripe-ifup"),
                ("knock", "gate"),
                ("myhost", "gate"),
                ("peer", "INET hub.example.com 4070"),
                ("port", "4070"),
                ("watch", "t"),
            ]
        );
        assert_eq!(hub.get("every"), Some("30s"));
        assert!(database.peer("laptop").unwrap().is_passive());
        assert_eq!(database.user("laptop"), Some("laptop"));
        assert_eq!(database.auto(), ["hub"]);
        assert!(database.identity().is_some());
    }
}

#[test]
fn an_empty_database_is_read() {
    for database in databases("empty", &[]).unwrap() {
        assert_eq!(database.peers().len(), 0);
        assert_eq!(database.faults(), []);
    }
}

#[test]
fn hundreds_of_records_are_read_in_order() {
    for database in databases("many", &[]).unwrap() {
        assert_eq!(database.faults(), []);
        assert_eq!(database.peers().len(), 300);
        for (number, peer) in database.peers().enumerate() {
            assert_eq!(peer.name(), format!("node{number:03}"));
            assert_eq!(
                peer.get("every"),
                Some(format!("{}s", number + 10).as_str())
            );
        }
        assert_eq!(database.users().len(), 100);
        assert_eq!(database.user("user033"), Some("node033"));
        assert_eq!(database.auto().len(), 43);
    }
}

#[test]
fn odd_records_are_repaired_or_left_out() {
    for database in databases("odd", &[]).unwrap() {
        let raw: Vec<_> = database.peer("raw").unwrap().iter().collect();
        assert_eq!(
            raw,
            [
                ("connect", "ssh\nhub"),
                ("ifup", "/bin/up/ --now"),
                ("peer", "INET raw.example.com 4070"),
                ("watch", "t"),
            ]
        );
        assert_eq!(database.peer("bad").unwrap().get("every"), Some("%zz"));
        assert_eq!(database.locals().len(), 1);
        assert_eq!(&*database.specials()[0].data, b"\x00\x01\xff");
        assert_eq!(
            database.faults(),
            [
                RecordFault::NoEquals {
                    peer: "bad".into(),
                    text: "nonsense".into()
                },
                RecordFault::BrokenEscape {
                    peer: "bad".into(),
                    key: "every".into()
                },
                RecordFault::PeerName {
                    name: "not\u{fffd}utf8".into()
                },
                RecordFault::DuplicatePeer { peer: "raw".into() },
            ]
        );
    }
}

#[test]
fn replaced_records_are_not_there_any_more() {
    for database in databases("replaced", &["-0"]).unwrap() {
        assert_eq!(database.faults(), []);
        let names: Vec<&str> = database.peers().map(Record::name).collect();
        assert_eq!(names, ["gate", "hub"]);
        assert!(database.peer("hub").unwrap().flag("watch"));
        assert!(database.auto().is_empty());
    }
}

/// The records of the fixture `name`, put into a writer in its order.
fn writer(name: &str) -> Outcome<Writer> {
    let mut writer = Writer::new();
    let dump = fs::read_to_string(fixture(&format!("{name}.dump")))?;
    for line in dump.lines().filter(|line| !line.is_empty()) {
        let (_, record) = line.split_once(':').ok_or("no colon")?;
        let (key, data) = record.split_once("->").ok_or("no arrow")?;
        writer.put_raw(key, data);
    }
    Ok(writer)
}

#[test]
fn what_we_write_is_what_tinycdb_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    for name in ["empty", "sample", "many"] {
        writer(name).unwrap().write(&path).unwrap();
        let theirs = fs::read(fixture(&format!("{name}.cdb"))).unwrap();
        assert!(fs::read(&path).unwrap() == theirs, "{name}");
    }
}

#[test]
fn what_we_write_is_read_by_tinycdb() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    for name in ["empty", "sample", "many"] {
        writer(name).unwrap().write(&path).unwrap();
        let Some(dump) = cdb(["-d".as_ref(), path.as_os_str()]).unwrap() else {
            return;
        };
        assert!(
            dump == fs::read(fixture(&format!("{name}.dump"))).unwrap(),
            "{name}"
        );
    }
    for number in (0..300).step_by(7) {
        let key = format!("Pnode{number:03}");
        let found = cdb(["-q".as_ref(), path.as_os_str(), key.as_ref()]).unwrap();
        let expected = format!(
            "every={}s;peer=INET+node{number:03}.example.com+{};watch=t",
            number + 10,
            4000 + number
        );
        assert_eq!(found, Some(expected.into_bytes()));
    }
}

#[test]
fn our_odd_characters_survive_tinycdb() {
    let record = Record::new("h\u{e9} ;&=", [("k\n", "->\0\u{7f};&=%+ "), ("z", "")]);
    let mut writer = Writer::new();
    writer.put_record(&record);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers.cdb");
    writer.write(&path).unwrap();
    assert_eq!(
        Database::load(&path).unwrap().peer(record.name()),
        Some(&record)
    );
    let Some(dump) = cdb(["-d".as_ref(), path.as_os_str()]).unwrap() else {
        return;
    };
    let again = dir.path().join("again.cdb");
    let text = dir.path().join("dump");
    fs::write(&text, dump).unwrap();
    cdb(["-c".as_ref(), again.as_os_str(), text.as_os_str()]).unwrap();
    assert_eq!(
        Database::load(&again).unwrap().peer(record.name()),
        Some(&record)
    );
}
