// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as the state that an earlier core has left, carried on with a server that lists peers
//! of it. What is no state at all stands for one made of its bytes, so that most inputs get past
//! the JSON reader.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use connect_core::machine::{Inherited, Input, Loaded, Machine, State};
use connect_fuzz::{BOOT, config, server_run};
use connect_ipc::clock::Monotonic;
use libfuzzer_sys::fuzz_target;
use peerdb::{Database, Record};

/// The database, which is the same each time.
static DATABASE: LazyLock<Loaded> = LazyLock::new(|| {
    let records = ["a", "b"].map(|name| Record::new(name, [("watch", "t"), ("ifup", "up")]));
    Ok(Database::from_parts(records, [], [])).into()
});

fuzz_target!(|bytes: &[u8]| {
    let state = serde_json::from_slice::<State>(bytes)
        .ok()
        .or_else(|| made_of(bytes));
    let Some(state) = state else { return };
    let mut now = Monotonic(u64::MAX / 2);
    let mut machine = Machine::new(config(now));
    let run = server_run();
    let mut outputs = Vec::new();
    for input in [
        Input::Database(DATABASE.clone()),
        Input::Inherited(Box::new(Inherited {
            run,
            state,
            database: None,
        })),
        Input::ServerConnected { run },
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
    let Some((_, left)) = machine.state() else {
        panic!("there is no state");
    };
    let written = serde_json::to_string(&left).unwrap_or_default();
    let again = serde_json::from_str::<State>(&written).ok();
    assert_eq!(again, Some(left), "the state cannot be read again");
});

/// A state of few peers whose figures are these bytes.
fn made_of(bytes: &[u8]) -> Option<State> {
    let word = |at: usize| {
        let some: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(some))
    };
    let [due, since, changed, small] = [word(0)?, word(8)?, word(16)?, word(24)?];
    let progress = |at: u32| match (small >> at) & 7 {
        0 => r#""found""#.to_owned(),
        1 => r#""due""#.to_owned(),
        2 => format!(r#"{{"ordered":{{"first":{since},"last":{changed}}}}}"#),
        3 => r#""made""#.to_owned(),
        4 => r#""no-script""#.to_owned(),
        5 => r#""never-started""#.to_owned(),
        _ => r#""idle""#.to_owned(),
    };
    let part = |at: u32| (small >> at) as u32;
    let setups = format!(
        r#"{{"interface":{},"connection":{},"hooks":{}}}"#,
        progress(44),
        progress(47),
        progress(50)
    );
    let adoption = format!(
        r#"{{"phase":{{"due":{due},"in-flight":{},"last-seq":{},"failures":{},"checking":{},"failed-checks":{}}},"statistics":{{"replies":{since},"lost":{changed}}},"since":{since},"changed":{changed},"reconnects":{},"last-reconnect":{changed}}}"#,
        part(8),
        part(16),
        part(24),
        small & 2 == 0,
        part(32),
        part(40)
    );
    let algorithms = small & 3;
    let peer = |name: &str| {
        format!(
            r#"{{"name":"{name}","setups":{setups},"algorithms":{algorithms},"adoption":{adoption}}}"#
        )
    };
    // Each part is there or not.
    let has = |at: u32, part: String| (small >> at & 1 == 0).then_some(part);
    let parts = [Some(peer("a")), has(53, peer("c")), has(54, peer("a"))];
    let peers = parts.into_iter().flatten().collect::<Vec<_>>().join(",");
    let reason = if small & 8 == 0 { "left" } else { "server" };
    let stage = if small & 16 == 0 { "adding" } else { "added" };
    let (pings, status) = (small as u32, small as i32);
    let failed = format!(
        r#"{{"peer":"b","at":{since},"kind":"ifup","end":{{"exited":{status}}},"output":[]}}"#
    );
    let departures = format!(
        r#"["b",{{"at":{due},"reason":"{reason}","address":"INET"}}],["c",{{"at":{changed},"reason":"silence","pings":{pings},"has-answered":true}}]"#
    );
    let revivals = format!(
        r#"{{"name":"b","stage":{{"waiting":{due}}},"failures":{pings},"id":{since}}},{{"name":"a","stage":"{stage}","failures":1,"id":0}}"#
    );
    let [failed, departures, revivals] =
        [has(55, failed), has(56, departures), has(57, revivals)].map(Option::unwrap_or_default);
    let text = format!(
        r#"{{"boot":"{BOOT}","started-up":{},"algorithms":[[["cipher","x"]]],"peers":[{peers}],"failed-scripts":[{failed}],"departures":[{departures}],"revivals":[{revivals}]}}"#,
        small & 4 == 0
    );
    serde_json::from_str(&text).ok()
}
