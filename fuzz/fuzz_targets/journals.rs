// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as the segments of a journal of scripts, for both readers: the next script helper, and
//! those who only look at it. A NUL ends a segment; one that does not begin like a header gets one.
#![no_main]

use connect_ifscripts::fuzzing;
use connect_ipc::clock::BootId;
use connect_runtime::scripts_journal::{self, Header, SCHEMA};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let current = Header {
        schema: SCHEMA,
        boot: BootId("b".to_owned()),
    };
    let segments = bytes.split(|byte| *byte == 0).map(with_header);
    let segments: Vec<Vec<u8>> = segments.collect();
    let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    let (ledger, is_damaged) = fuzzing::journal(&segments, &current);
    let (left, seems_damaged) = scripts_journal::of_bytes(&segments, &current);
    if !is_damaged {
        assert!(!seems_damaged, "whoever only looks does not understand it");
        let runs = ledger.iter().flat_map(|ledger| ledger.runs());
        let open = runs.filter(|run| run.end().is_none());
        let open = open.map(|run| {
            let run = &run.under_way;
            (run.run, run.peer.as_str(), run.kind)
        });
        let seen = left
            .iter()
            .map(|(run, seen)| (*run, seen.peer.as_str(), seen.kind));
        assert!(open.eq(seen), "{ledger:?}\n{left:?}");
    }
    if let Some(ledger) = ledger {
        // Who reads the renewed journal knows the same.
        let renewed = fuzzing::segment(&current, &ledger);
        let (again, is_damaged) = fuzzing::journal(&[&renewed], &current);
        let again = again.filter(|_| !is_damaged).unwrap_or_default();
        let again = fuzzing::segment(&current, &again);
        assert!(again == renewed, "{again:?}\n{renewed:?}");
    }
});

/// A segment with a header of the present boot, unless it has one.
fn with_header(segment: &[u8]) -> Vec<u8> {
    let header: &[u8] = if segment.starts_with(b"{\"schema\"") {
        b""
    } else {
        b"{\"schema\":1,\"boot\":\"b\"}\n"
    };
    [header, segment].concat()
}
