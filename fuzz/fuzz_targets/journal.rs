// SPDX-License-Identifier: GPL-3.0-or-later
//! Any lines as the journal that an earlier script helper has left, and any messages of a core to
//! the helper that continues it.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use connect_ifscripts::ledger::{Entry, Ledger, Origin};
use connect_ifscripts::machine::{Input, Machine, Output};
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::decode;
use connect_ipc::setup::ByLane;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut ledger = Ledger::default();
    // The reader stops at the first line that is no entry.
    for line in lines.by_ref() {
        let Ok(entry) = serde_json::from_str::<Entry>(line) else {
            break;
        };
        ledger.apply(&entry);
    }
    let mut written = ledger.clone();
    let mut out = Vec::new();
    let mut machine = Machine::recovered(ByLane::of(|_| 2), ledger, &BTreeMap::new(), &mut out);
    let mut now = Monotonic(1_000_000_000);
    for line in lines {
        let input = match decode(line) {
            Ok(message) => Input::Core(message),
            Err(_) if line.is_empty() => Input::Time {},
            Err(_) => Input::Turn(Origin { at: 1, session: 1 }),
        };
        machine.handle(input, now, &mut out);
        now = now + Duration::from_secs(1);
    }
    // Who reads what was written gets what the writer had.
    for output in &out {
        if let Output::Journal(entry) = output {
            let text = serde_json::to_string(entry).unwrap_or_default();
            match serde_json::from_str::<Entry>(&text) {
                Ok(entry) => written.apply(&entry),
                Err(error) => panic!("{text} cannot be read again: {error}"),
            }
        }
    }
    let left = machine.ledger();
    assert_eq!(format!("{written:?}"), format!("{left:?}"));
});
