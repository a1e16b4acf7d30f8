// SPDX-License-Identifier: GPL-3.0-or-later
//! The ledger, case by case.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

use connect_ipc::frame::MAX_FRAME;
use connect_ipc::scripts::{Command, ScriptKind};
use connect_ipc::setup::{Made, Pair};
use connect_runtime::scripts_journal::{Header, SCHEMA};

fn key(peer: &str) -> SetupKey {
    SetupKey {
        peer: peer.to_owned(),
        pair: Pair::Interface,
    }
}

fn starting(run: RunId) -> Entry {
    let origin = Origin { at: 7, session: 8 };
    Entry::Starting { run, origin }
}

fn made(run: u64, filling: usize) -> SetupState {
    SetupState::Made(Arc::new(Made {
        server: None,
        interface: "x".repeat(filling),
        address: String::new(),
        algorithms: Vec::new(),
        record: Vec::new(),
        runs: vec![RunId(run)],
        never_started: false,
    }))
}

fn ordered(run: u64, setup: Option<SetupState>) -> Entry {
    Entry::Ordered(Arc::new(Run {
        run: RunId(run),
        peer: "a".to_owned(),
        kind: ScriptKind::Ifup,
        command: Command::Shell(":".to_owned()),
        environment: Vec::new(),
        limit: None,
        setup,
        undoes: Vec::new(),
    }))
}

fn set(peer: &str, state: SetupState) -> Entry {
    Entry::Setup(SetupChange {
        number: RunId(50),
        setup: Setup {
            key: key(peer),
            state,
            number: None,
        },
    })
}

fn ledger(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::default();
    for entry in entries {
        ledger.apply(entry);
    }
    ledger
}

const RUN: RunId = RunId(1);
const CHILD: Child = Child {
    pid: 5,
    start_time: 6,
};

fn has_never_started(ledger: &Ledger) -> (Vec<RunId>, bool) {
    match ledger.setup(&key("a")) {
        Some(SetupState::Made(made)) => (made.runs.clone(), made.never_started),
        other => panic!("{other:?}"),
    }
}

/// The next version must be able to go on with what this one has noted. If this fails, an old
/// journal would be misunderstood or rejected, and `SCHEMA` has to be raised.
#[test]
fn the_form_of_the_journal_is_as_released() {
    let mut lines = include_str!("../../fixtures/journal-1").lines();
    let header: Header = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(header.schema, SCHEMA);
    let mut found = BTreeSet::new();
    for line in lines {
        let entry: Entry = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), line);
        // A new variant does not compile until it is listed, and then needs a line.
        found.insert(match entry {
            Entry::Ordered(_) => "ordered",
            Entry::Adopted(_) => "adopted",
            Entry::Setup(_) => "setup",
            Entry::Starting { .. } => "starting",
            Entry::Started { .. } => "started",
            Entry::Survives { .. } => "survives",
            Entry::Ended { .. } => "ended",
            Entry::Failures(_) => "failures",
            Entry::Settled(_) => "settled",
            Entry::Kept(_) => "kept",
        });
    }
    assert_eq!(found.len(), 10, "{found:?}");
}

#[test]
fn a_setup_knows_whether_its_run_was_started() {
    let order = || ordered(1, Some(made(1, 0)));
    let ended = |end: Ended| Entry::Ended { run: RUN, end };
    let (run, child) = (RUN, CHILD);
    let started = || Entry::Started { run, child };
    let why = || Ended::NotStarted("no".to_owned());
    let cases = [
        (vec![order()], (vec![RUN], false)),
        (vec![order(), starting(RUN)], (vec![RUN], false)),
        (vec![order(), starting(RUN), started()], (vec![], false)),
        (
            vec![order(), started(), ended(Ended::Exited(1))],
            (vec![], false),
        ),
        (vec![order(), ended(Ended::Stopped)], (vec![], true)),
        (vec![order(), starting(RUN), ended(why())], (vec![], true)),
        // It may have run.
        (
            vec![order(), starting(RUN), ended(Ended::Lost)],
            (vec![], false),
        ),
        // Another run makes it too.
        (
            vec![
                order(),
                set("a", made(2, 0)),
                ended(Ended::Stopped),
                Entry::Settled(vec![RUN]),
            ],
            (vec![RunId(2)], false),
        ),
        (
            vec![order(), set("a", made(2, 0)), started()],
            (vec![], false),
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(
            has_never_started(&ledger(&entries)),
            expected,
            "{entries:?}"
        );
    }
}

#[test]
fn what_is_over_stays_as_it_is_and_what_is_unknown_is_passed_over() {
    let (run, child) = (RUN, CHILD);
    let end = Ended::Exited(3);
    let mut ledger = ledger(&[
        starting(RunId(7)),
        Entry::Settled(vec![RunId(8)]),
        Entry::Started {
            run: RunId(9),
            child,
        },
        ordered(1, None),
        Entry::Ended {
            run,
            end: end.clone(),
        },
    ]);
    for entry in [
        ordered(1, Some(made(1, 0))),
        starting(run),
        Entry::Started { run, child },
        Entry::Ended {
            run,
            end: Ended::Lost,
        },
    ] {
        ledger.apply(&entry);
        assert_eq!(ledger.run(run).and_then(Unsettled::end), Some(&end));
    }
    assert_eq!(ledger.runs().count(), 1);
    assert_eq!(ledger.setup(&key("a")), None);
}

#[test]
fn of_very_many_setups_that_are_undone_the_oldest_is_forgotten() {
    let mut ledger = ledger(&[set("first", made(1, 0))]);
    let undone = || SetupState::Undone {};
    for number in 0..MAX_UNDONE {
        ledger.apply(&set(&number.to_string(), undone()));
    }
    // One that is made again is not among them, and one that is undone again is not the oldest.
    ledger.apply(&set("0", made(1, 0)));
    ledger.apply(&set("1", undone()));
    ledger.apply(&set("new", undone()));
    assert_eq!(ledger.undone.len(), MAX_UNDONE);
    ledger.apply(&set("newer", undone()));
    assert_eq!(ledger.undone.len(), MAX_UNDONE);
    assert_eq!(ledger.setup(&key("2")), None);
    for there in ["first", "0", "1", "3", "new", "newer"] {
        assert!(ledger.setup(&key(there)).is_some(), "{there}");
    }
}

#[test]
fn a_page_has_as_many_setups_as_fit_into_a_message() {
    let mut ledger = Ledger::default();
    for number in 0..=ITEMS_PER_FRAME {
        ledger.apply(&set(&format!("{number:05}"), made(1, 0)));
    }
    // These are so large that not two fit, and the middle one fills a message by itself.
    for (peer, filling) in [
        ("x", MAX_LIST / 2),
        ("y", MAX_LIST - 400),
        ("z", MAX_LIST / 2),
    ] {
        ledger.apply(&set(peer, made(1, filling)));
    }
    let mut after = None;
    let mut sizes = Vec::new();
    loop {
        let page = ledger.page(after.as_ref());
        assert!(length(&connect_ipc::scripts::FromScripts::Setups(page.clone())) <= MAX_FRAME);
        sizes.push(page.setups.len());
        after = page.setups.last().map(|setup| setup.key.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [ITEMS_PER_FRAME, 2, 1, 1]);
    assert_eq!(ledger.page(after.as_ref()).setups.len(), 0);
}

/// Core notes another address of a peer and does not know yet that the run was not started.
#[test]
fn a_note_that_crosses_the_end_of_a_run_does_not_hide_that_it_was_never_started() {
    let end = Ended::NotStarted("no".to_owned());
    let moved = set("a", made(1, 1));
    for (before, after) in [(false, true), (true, false)] {
        let mut ledger = ledger(&[ordered(1, Some(made(1, 0)))]);
        if before {
            ledger.apply(&moved);
        }
        ledger.apply(&Entry::Ended {
            run: RUN,
            end: end.clone(),
        });
        if after {
            ledger.apply(&moved);
        }
        ledger.apply(&Entry::Settled(vec![RUN]));
        let Some(SetupState::Made(found)) = ledger.setup(&key("a")) else {
            panic!("it is kept");
        };
        assert!(found.never_started, "noted after the end: {after}");
    }
}
