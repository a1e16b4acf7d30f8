// SPDX-License-Identifier: GPL-3.0-or-later
//! What core must be able to read of each released version: the state and the database that it has
//! saved, its recordings, and the database that was compiled for it.

use std::fs;
use std::path::Path;

use house::released::{Example, examples, lost};
use peerdb::{Database, Record};
use serde_json::{Value, json, to_value};

use super::super::{DatabaseCopy, Input};
use super::rig::{Rig, record};
use crate::recording::{Entry, Header, SCHEMA};
use crate::replay::replay;
use crate::{kept_database, saved_state};

fn parsed(example: &Example) -> Value {
    serde_json::from_str(&example.text().unwrap()).unwrap()
}

/// Puts a file into the directory of the state, where core looks for it.
fn put(directory: &Path, name: &str, file: &Value) {
    fs::write(directory.join(name), file.to_string()).unwrap();
}

#[test]
fn core_goes_on_from_the_state_of_each_version() {
    for example in examples("core.json").unwrap() {
        let version = &example.version;
        let mut file = parsed(&example);
        // The boot in which the rig is.
        file["state"]["boot"] = json!("this");
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), "core.json", &file);
        let (run, state) = saved_state::load(directory.path()).unwrap().unwrap();
        let read = json!({ "server": run, "state": state });
        let mut told = file;
        for about_the_file in ["schema", "written-by"] {
            told.as_object_mut().unwrap().remove(about_the_file);
        }
        assert_eq!(lost(&told, &read), [""; 0], "{version}");

        let pairs = [("peer", "INET 192.0.2.1 1"), ("watch", "t"), ("ifup", "up")];
        let mut rig = Rig::new(&[record("p", &pairs), record("t", &pairs)]);
        rig.inherit(state);
        rig.meet(&["p"]);
        rig.answer_all();
        let rows = rig.rows();
        let row = |name: &str| {
            let row = rows.iter().find(|row| row.name == name);
            to_value(row.unwrap_or_else(|| panic!("{version}: no {name}"))).unwrap()
        };
        let p = row("p");
        let figures = ["replies", "lost", "min", "max", "mean"];
        let figures = figures.map(|name| p["statistics"][name].clone());
        assert_eq!(json!(figures), json!([7, 2, 19.0, 21.0, 20.0]), "{version}");
        assert_eq!(p["connection"]["reconnects"], 3, "{version}: {p}");
        let failed = &p["scripts"]["failed"][0];
        assert_eq!(failed["kind"], "ifup", "{version}: {p}");
        assert_eq!(failed["failure"]["exited"], 1, "{version}: {p}");
        let t = row("t");
        assert_eq!(t["state"], "gone", "{version}: {t}");
        let removal = json!({ "reason": "silence", "pings": 15 });
        assert_eq!(t["connection"]["removal"], removal, "{version}: {t}");
    }
}

#[test]
fn the_database_that_each_version_has_saved_is_read() {
    for example in examples("database.json").unwrap() {
        let (version, file) = (&example.version, parsed(&example));
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), "database.json", &file);
        let copy = kept_database::load(directory.path()).unwrap().unwrap();
        let read = to_value(&copy).unwrap();
        assert_eq!(lost(&file["database"], &read), [""; 0], "{version}");
        let DatabaseCopy(database) = copy;
        let value =
            |peer: &str, key: &str| database.peer(peer).unwrap().get(key).map(str::to_owned);
        assert_eq!(value("q", "watch").as_deref(), Some("t"), "{version}");
        assert_eq!(value("p", "peer").as_deref(), Some("PASSIVE"), "{version}");
        assert_eq!(database.user("u"), Some("p"), "{version}");
        assert_eq!(database.auto(), ["q", "with space"], "{version}");
    }
}

#[test]
fn the_database_that_was_compiled_for_each_version_is_read() {
    for example in examples("peers.cdb").unwrap() {
        let version = &example.version;
        let database = Database::load(&example.path).unwrap();
        assert_eq!(database.faults(), [], "{version}");
        let names: Vec<&str> = database.peers().map(Record::name).collect();
        assert_eq!(names, ["hub", "laptop"], "{version}");
        let hub = database.peer("hub").unwrap();
        assert_eq!(hub.get("peer"), Some("INET hub.example.com 4070"));
        assert_eq!(hub.get("every"), Some("30s"), "{version}");
        assert!(database.peer("laptop").unwrap().is_passive(), "{version}");
        assert_eq!(database.user("laptop"), Some("laptop"), "{version}");
        assert_eq!(database.auto(), ["hub"], "{version}");
    }
}

/// What core does with the inputs of another version may differ, but it must understand them, or
/// say that the form is another.
#[test]
fn the_recording_of_each_version_is_understood_or_refused() {
    for example in examples("recording.jsonl").unwrap() {
        let (version, text) = (&example.version, example.text().unwrap());
        let (first, entries) = text.split_once('\n').unwrap();
        let replayed = replay(&example.path, None, false, &mut Vec::new());
        if serde_json::from_str::<Value>(first).unwrap()["schema"] != SCHEMA {
            let refusal = replayed.unwrap_err().error.root_cause().to_string();
            assert!(refusal.contains("it has form"), "{version}: {refusal}");
            continue;
        }
        let header: Header = serde_json::from_str(first).unwrap();
        assert_eq!(header.version, *version);
        assert!(replayed.unwrap().inputs > 0, "{version}");
        let mut is_peer_added = false;
        for line in entries.lines() {
            let file: Value = serde_json::from_str(line).unwrap();
            let entry: Entry<'_> = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{version}: {error} in {line}"));
            let read = to_value(&entry).unwrap();
            assert_eq!(lost(&file, &read), [""; 0], "{version}: {line}");
            is_peer_added |=
                matches!(&entry.input, Input::ServerLine(line) if line.starts_with("NOTE ADD p "));
        }
        assert!(is_peer_added, "{version}");
    }
}
