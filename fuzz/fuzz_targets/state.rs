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
            run,
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
    let peer = |name: &str| {
        serde_json::json!({
            "name": name,
            "configured": small & 1 == 0,
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
    }))
    .ok()
}
