// SPDX-License-Identifier: GPL-3.0-or-later
//! The journals that the released versions have written, read by the helper and by the programs
//! that only look.

use std::fs;

use connect_ipc::RunId;
use connect_ipc::scripts::{Child, Ended, ScriptKind};
use connect_ipc::setup::{Pair, SetupKey, SetupState};
use connect_runtime::scripts_journal;
use house::released::{examples, lost};
use serde_json::{Value, json};

use super::*;
use crate::ledger::Stage;

/// What the helper knows that begins with this journal.
fn assert_is_known(ledger: &Ledger, version: &str) {
    let stages: Vec<(u64, &Stage)> = ledger
        .runs()
        .map(|run| (run.under_way.run.0, &run.stage))
        .collect();
    assert!(
        matches!(
            stages[..],
            [
                (2, Stage::Waiting(_)),
                (3, Stage::Started {}),
                (5, Stage::Waiting(_)),
                (6, Stage::Starting(_)),
                (7, Stage::Started {}),
                (8, Stage::Ended(Ended::Lost)),
            ]
        ),
        "{version}: {stages:?}"
    );
    let order = ledger.order(RunId(2)).unwrap();
    assert_eq!((&*order.peer, order.kind), ("p", ScriptKind::Disconnect));
    let child = ledger.run(RunId(3)).unwrap().under_way.child;
    let expected = Child {
        pid: 201,
        start_time: 1236,
    };
    assert_eq!(child, Some(expected), "{version}");
    let survives = ledger.run(RunId(7)).unwrap().survives;
    assert_eq!(survives, Some(Monotonic(4_000_000_000)), "{version}");

    let key = |peer: &str, pair| SetupKey {
        peer: peer.to_owned(),
        pair,
    };
    let Some(SetupState::Made(made)) = ledger.setup(&key("p", Pair::Interface)) else {
        panic!("{version}: the interface of p is not made");
    };
    assert_eq!(made.interface, "tripe0", "{version}");
    assert!(made.runs.is_empty() && !made.never_started, "{version}");
    for (peer, pair, number) in [
        ("p", Pair::Connection, 2),
        ("q", Pair::Connection, 4),
        ("q", Pair::Hooks, 9),
    ] {
        let undone = ledger.undone_by(&key(peer, pair));
        assert_eq!(undone, Some(RunId(number)), "{version}: {peer} {pair:?}");
    }
    let failed = ledger.failures().after(None);
    let failed: Vec<_> = failed.map(|run| (&*run.peer, &run.end)).collect();
    assert_eq!(failed, [("p", &Ended::Signal(9))], "{version}");
}

/// Which scripts have not ended, for a program that only looks.
fn unfinished(directory: &std::path::Path) -> Vec<String> {
    let seen = scripts_journal::look(directory).unwrap();
    assert!(!seen.is_damaged);
    let runs = seen.unfinished.iter();
    runs.map(|run| format!("{} {}", run.kind.name(), run.peer))
        .collect()
}

#[test]
fn the_journal_of_each_version_is_read() {
    let present = Header::current().unwrap();
    for example in examples("journal-1").unwrap() {
        let (version, text) = (&example.version, example.text().unwrap());
        let (first, entries) = text.split_once('\n').unwrap();
        for line in entries.lines() {
            let entry: Entry = serde_json::from_str(line).unwrap();
            let file: Value = serde_json::from_str(line).unwrap();
            let read = serde_json::to_value(&entry).unwrap();
            assert_eq!(lost(&file, &read), [""; 0], "{version}: {line}");
        }
        // As if it had been written in this boot.
        let mut header: Value = serde_json::from_str(first).unwrap();
        header["boot"] = json!(present.boot);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal-1");
        fs::write(path, format!("{header}\n{entries}")).unwrap();
        let reading = read(&Directory::open(directory.path()).unwrap(), &present).unwrap();
        assert!(reading.damaged.is_empty(), "{version}: {reading:?}");
        assert_is_known(&reading.ledger.unwrap(), version);
        assert_eq!(
            unfinished(directory.path()),
            ["disconnect p", "on-up q", "ifup q", "ifdown q", "ifdown q",],
            "{version}"
        );
    }
}
