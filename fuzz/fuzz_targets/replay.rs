// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as a recording, replayed and printed. One that does not begin like a header gets one.
//! After a `u`, the replay stops after a second and prints the status.
#![no_main]

use std::time::Duration;

use connect_core::fuzzing::replay;
use connect_fuzz::assert_shown;
use libfuzzer_sys::fuzz_target;

/// The first line of a recording.
const HEADER: &str = concat!(
    r#"{"schema":1,"version":"2","config":{"version":"2","boot":"this","pid":1,"socket":"s","#,
    r#""database":"d","startup":true,"ping":"transport","script-limit":null,"#,
    r#""exit-on-disconnect":false,"server-wait":null,"started":0}}"#,
    "\n"
);

fuzz_target!(|bytes: &[u8]| {
    let (until, bytes) = match bytes.strip_prefix(b"u") {
        Some(rest) => (Some(Duration::from_secs(1)), rest),
        None => (None, bytes),
    };
    let header = if bytes.starts_with(b"{\"schema\"") {
        ""
    } else {
        HEADER
    };
    let recording = [header.as_bytes(), bytes].concat();
    let (printed, inputs) = replay(&recording, until);
    assert_shown(&printed);
    let lines = recording.split(|byte| *byte == b'\n').count() as u64;
    assert!(inputs.is_none_or(|inputs| inputs < lines), "{inputs:?}");
});
