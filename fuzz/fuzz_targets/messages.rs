// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes on one of our sockets: cut into lines as they come, and each line as a message of each
//! kind.
#![no_main]

use connect_ipc::control::{Answer, Envelope};
use connect_ipc::foreign::is_plain;
use connect_ipc::frame::{decode, encode, length};
use connect_ipc::hello::Hello;
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_ipc::scripts::{FromScripts, ToScripts};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tripe_admin::line::{Line, LineBuffer};

/// Longer lines are too long. A connection before its hello has the same limit.
const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = LineBuffer::new(LIMIT);
    // The last line may lack its end.
    lines.push(bytes);
    lines.push(b"\n");
    let mut read = 0;
    while let Some(line) = lines.next_line() {
        match line {
            Line::Text(line) => {
                read += line.len().min(LIMIT) + 1;
                message::<Hello>(&line);
                message::<ToPinger>(&line);
                message::<FromPinger>(&line);
                message::<ToScripts>(&line);
                message::<FromScripts>(&line);
                message::<Envelope>(&line);
                message::<Answer>(&line);
            }
            Line::TooLong { start, length } => {
                read += length + 1;
                assert!(length > LIMIT && start.len() <= 3 * 80, "{length}");
            }
        }
    }
    assert!(str::from_utf8(bytes).is_err() || read == bytes.len() + 1);
});

/// A message is written as it was read. Why a line is none is said in plain words.
fn message<M: DeserializeOwned + Serialize>(line: &str) {
    match decode::<M>(line) {
        // Words that only people read are cut when they are read, so the first may be longer.
        Ok(message) => {
            let first = again(&message);
            let second = again(&first);
            assert_eq!(written(&first), written(&second));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.chars().all(is_plain), "{said:?}");
        }
    }
}

fn again<M: DeserializeOwned + Serialize>(message: &M) -> M {
    let line = written(message);
    match decode(line.trim_end()) {
        Ok(again) => again,
        Err(error) => panic!("{line} cannot be read again: {error}"),
    }
}

fn written<M: Serialize>(message: &M) -> String {
    let mut line = Vec::new();
    if let Err(error) = encode(message, &mut line) {
        panic!("cannot be sent: {error}");
    }
    assert_eq!(length(message) + 1, line.len());
    String::from_utf8_lossy(&line).into_owned()
}
