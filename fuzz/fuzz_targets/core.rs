// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as what core is told: each line is one of the server, a message of a helper, a request
//! of an operator, or an event such as the loss of a connection.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use connect_core::machine::{ConnectionId, Input, Loaded, Machine};
use connect_fuzz::config;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::frame::decode;
use libfuzzer_sys::fuzz_target;
use peerdb::{Database, Record};

/// The database, which is the same each time.
static DATABASE: LazyLock<Loaded> = LazyLock::new(|| Ok(database()).into());

const PINGER: ConnectionId = ConnectionId(1);
const SCRIPTS: ConnectionId = ConnectionId(2);
const OPERATOR: ConnectionId = ConnectionId(3);

fuzz_target!(|bytes: &[u8]| {
    let text = tripe_admin::bytes::decode(bytes);
    let mut now = Monotonic(1_000_000_000);
    let mut machine = Machine::new(config(now));
    let mut outputs = Vec::new();
    for input in [
        Input::Database(DATABASE.clone()),
        Input::ServerConnected { run: None },
    ] {
        machine.handle(input, now, &mut outputs);
    }
    for line in text.lines() {
        // The first character says what the rest of the line is.
        let first = line.chars().next().unwrap_or('.');
        let rest = &line[first.len_utf8().min(line.len())..];
        if let Some(input) = input(first, rest) {
            machine.handle(input, now, &mut outputs);
        }
        if first != '+' {
            machine.handle(Input::EndOfTurn, now, &mut outputs);
        }
        now = match (first, machine.next_deadline()) {
            ('.', Some(deadline)) => deadline.max(now),
            _ => now + Duration::from_millis(10),
        };
        outputs.clear();
    }
    let left = machine.state();
    let written = left.map(|(_, state)| serde_json::to_string(&state).is_ok());
    assert_ne!(written, Some(false), "the state cannot be written");
});

/// What a line stands for; `None` if it is nothing of its kind, or if only time passes.
fn input(kind: char, text: &str) -> Option<Input<'_>> {
    let status = HelperStatus {
        connected: true,
        pid: Some(7),
        ..HelperStatus::default()
    };
    Some(match kind {
        '<' | '+' => Input::ServerLine(text.into()),
        'p' => Input::Pinger(PINGER, decode(text).ok()?),
        's' => Input::Scripts(SCRIPTS, decode(text).ok()?),
        'o' => Input::Request {
            connection: OPERATOR,
            by: "control".into(),
            user: text.len().is_multiple_of(2).then_some(1000),
            envelope: decode(text).ok()?,
        },
        'P' => Input::PingerConnected {
            connection: PINGER,
            status,
        },
        'S' => Input::ScriptsConnected {
            connection: SCRIPTS,
            status,
        },
        'C' => Input::ServerConnected { run: None },
        'L' => Input::ServerLost {
            reason: text.to_owned(),
        },
        'g' => Input::Gone(PINGER),
        'h' => Input::Gone(SCRIPTS),
        'q' => Input::Gone(OPERATOR),
        'd' => Input::Drained(OPERATOR),
        'D' => Input::Database(DATABASE.clone()),
        'R' => Input::Reload,
        'z' => Input::Slept {
            seconds: text.len() as u64,
        },
        _ => return None,
    })
}

/// A peer of each kind.
fn database() -> Database {
    let records = [
        Record::new(
            "a",
            [
                ("peer", "INET 192.0.2.1 1"),
                ("watch", "t"),
                ("every", "1s"),
                ("auto", "t"),
            ],
        ),
        Record::new("b", [("peer", "PASSIVE"), ("user", "u"), ("ifup", "up")]),
        Record::new(
            "c",
            [
                ("peer", "INET 192.0.2.2 1"),
                ("connect", "c"),
                ("watch", "t"),
                ("retries", "1"),
                ("ifup", "up"),
                ("ifdown", "down"),
            ],
        ),
        Record::new(
            "d",
            [("peer", "INET 192.0.2.3 1"), ("knock", "k"), ("watch", "t")],
        ),
    ];
    let users = [("u".to_owned(), "b".to_owned())];
    Database::from_parts(records.to_vec(), users, Vec::new())
}
