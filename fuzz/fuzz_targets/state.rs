// SPDX-License-Identifier: GPL-3.0-or-later
//! Any text as the state that an earlier core has left, carried on with a server that lists peers
//! of it. A text that is no state at all stands for one made of its bytes, so that most inputs get
//! past the JSON reader.
#![no_main]

use std::time::Duration;

use connect_core::machine::{Config, Inherited, Input, Loaded, Machine, State};
use connect_ipc::clock::{BootId, Monotonic};
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use libfuzzer_sys::fuzz_target;
use peerdb::{Database, Record};

/// The boot in which everything happens.
const BOOT: &str = "this";

fuzz_target!(|text: &str| {
    let state = serde_json::from_str::<State>(text)
        .ok()
        .or_else(|| made_of(text.as_bytes()));
    let Some(state) = state else { return };
    let mut now = Monotonic(u64::MAX / 2);
    let mut machine = Machine::new(Config {
        version: "2".to_owned(),
        socket: "tripesock".into(),
        database: "peers.cdb".into(),
        boot: Some(BootId(BOOT.to_owned())),
        pid: 1,
        startup: true,
        ping: PingKind::Transport,
        script_limit: None,
        hooks: DefaultHooks::default(),
        exit_on_disconnect: false,
        server_wait: None,
        started: now,
    });
    let records = ["a", "b"].map(|name| Record::new(name, [("watch", "t"), ("ifup", "up")]));
    let database = Database::from_parts(records.to_vec(), [], Vec::new());
    let run = serde_json::from_str(r#"{"device":1,"inode":2,"made":[3,4]}"#);
    let Ok(run) = run else { return };
    let mut outputs = Vec::new();
    for input in [
        Input::Database(Loaded::from(Ok(database))),
        Input::Inherited(Box::new(Inherited {
            run: Some(run),
            state,
            database: None,
        })),
        Input::ServerConnected { run: Some(run) },
    ] {
        machine.handle(input, now, &mut outputs);
    }
    for line in [
        "OK",
        "OK",
        "OK",
        "INFO a",
        "INFO c",
        "OK",
        "NOTE KILL a",
        "NOTE ADD b tun0 INET 127.0.0.1 1",
    ] {
        machine.handle(Input::ServerLine(line.into()), now, &mut outputs);
        now = now + Duration::from_secs(1);
        machine.handle(Input::EndOfTurn, now, &mut outputs);
        outputs.clear();
    }
    let left = machine
        .state()
        .and_then(|(_, state)| serde_json::to_string(&state).ok());
    assert!(left.is_some(), "the state cannot be written again");
});

/// A state of two peers whose figures are these bytes.
fn made_of(bytes: &[u8]) -> Option<State> {
    let word = |at: usize| {
        let some: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(some))
    };
    let [due, since, changed, small] = [word(0)?, word(8)?, word(16)?, word(24)?];
    let progress = |at: u32| match (small >> at) & 7 {
        0 => serde_json::json!("found"),
        1 => serde_json::json!("due"),
        2 => serde_json::json!({ "ordered": { "first": since, "last": changed } }),
        3 => serde_json::json!("made"),
        4 => serde_json::json!("no-script"),
        5 => serde_json::json!("never-started"),
        _ => serde_json::json!("idle"),
    };
    let peer = |name: &str| {
        serde_json::json!({
            "name": name,
            "setups": { "interface": progress(44), "connection": progress(47), "hooks": progress(50) },
            "algorithms": small & 3,
            "adoption": {
                "phase": {
                    "due": due,
                    "in-flight": (small >> 8) as u32,
                    "last-seq": (small >> 16) as u32,
                    "failures": (small >> 24) as u32,
                    "checking": small & 2 == 0,
                    "failed-checks": (small >> 32) as u32,
                },
                "statistics": connect_ipc::statistics::PingStatistics::default(),
                "since": since,
                "changed": changed,
                "reconnects": (small >> 40) as u32,
                "last-reconnect": changed,
            },
        })
    };
    serde_json::from_value(serde_json::json!({
        "boot": BOOT,
        "started-up": small & 4 == 0,
        "algorithms": [[["cipher", "x"]]],
        "peers": [peer("a"), peer("c"), peer("a")],
        "failed-scripts": [
            { "peer": "b", "at": since, "kind": "ifup", "end": { "exited": small as i32 }, "output": [] },
        ],
        "departures": [
            ["b", { "at": due, "reason": if small & 8 == 0 { "left" } else { "server" }, "address": "INET" }],
            ["c", { "at": changed, "reason": "silence", "pings": small as u32, "has-answered": true }],
        ],
        "revivals": [
            { "name": "b", "stage": { "waiting": due }, "failures": small as u32, "id": since },
            { "name": "a", "stage": if small & 16 == 0 { "adding" } else { "added" }, "failures": 1, "id": 0 },
        ],
    }))
    .ok()
}
