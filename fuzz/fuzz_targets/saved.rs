// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as the two files that an earlier core has left, the state in the first line and the
//! kept database in the rest, and a core that starts with them.
#![no_main]

use std::time::Duration;

use connect_core::fuzzing::{kept_database, saved_state};
use connect_core::machine::{Inherited, Input, Loaded, Machine};
use connect_fuzz::config;
use connect_ipc::clock::Monotonic;
use libfuzzer_sys::fuzz_target;

/// What the server says after it was connected.
const LINES: [&str; 8] = [
    "OK",
    "OK",
    "OK",
    "INFO a",
    "INFO p",
    "OK",
    "NOTE KILL a",
    "NOTE ADD q tun0 INET 127.0.0.1 1",
];

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (first, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let database = kept_database(rest).ok().map(|(database, written, is_own)| {
        assert!(is_own, "its own text is not recognized");
        match kept_database(&written) {
            Ok((_, again, _)) => assert!(again == written, "it is not read as it was written"),
            Err(error) => panic!("it cannot be read again: {error:#}"),
        }
        database
    });
    let Ok((run, state, written)) = saved_state(first) else {
        return;
    };
    match saved_state(&written) {
        Ok(again) => assert!(again == (run, state.clone(), written)),
        Err(error) => panic!("it cannot be read again: {error:#}"),
    }
    let mut now = Monotonic(u64::MAX / 2);
    let mut machine = Machine::new(config(now));
    let mut outputs = Vec::new();
    let faulty = Loaded::Faulty {
        fault: "none".to_owned(),
    };
    let inherited = Inherited {
        run,
        state,
        database,
    };
    for input in [
        Input::Inherited(Box::new(inherited)),
        Input::Database(faulty),
        Input::ServerConnected { run },
    ] {
        machine.handle(input, now, &mut outputs);
    }
    for line in LINES {
        machine.handle(Input::ServerLine(line.into()), now, &mut outputs);
        now = now + Duration::from_secs(1);
        machine.handle(Input::EndOfTurn, now, &mut outputs);
        outputs.clear();
    }
    // What this core leaves can be read by the next.
    let Some((server, state)) = machine.state() else {
        return;
    };
    let written = serde_json::to_string(&server).ok();
    let parts = written.zip(serde_json::to_string(&state).ok());
    let (run, left) = parts.unwrap_or_default();
    let document = format!(r#"{{"schema":1,"written-by":"2","server":{run},"state":{left}}}"#);
    match saved_state(document.as_bytes()) {
        Ok((run, again, _)) => assert!((run, again) == (server, state)),
        Err(error) => panic!("what is left cannot be read: {error:#}"),
    }
});
