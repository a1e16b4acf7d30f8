// SPDX-License-Identifier: GPL-3.0-or-later
//! Any bytes as what several hosts have answered, after an `h`, or as what core has sent to a tool
//! of operators; and what a terminal gets of it.
#![no_main]

use connect_cli::fuzzing::{HostAnswer, answers, hosts};
use connect_fuzz::assert_shown;
use libfuzzer_sys::fuzz_target;

/// Longer lines of core are too long. The service itself takes 1 MiB.
const LIMIT: usize = 900;

fuzz_target!(|bytes: &[u8]| {
    if let Some(bytes) = bytes.strip_prefix(b"h") {
        return several(bytes);
    }
    match answers(bytes, LIMIT) {
        Ok((written, metrics)) => {
            assert_shown(&written);
            for text in metrics.iter().flatten() {
                assert!(text.ends_with('\n'), "{text:?}");
                assert!(text.lines().all(|line| !line.is_empty()), "{text:?}");
            }
        }
        Err(error) => panic!("{error}"),
    }
});

/// What two hosts have written, with a NUL between their streams. The first byte of standard error
/// says how ssh has ended.
fn several(bytes: &[u8]) {
    let mut streams = bytes.split(|byte| *byte == 0);
    let mut answer = |host: &'static str| -> HostAnswer<'_> {
        let stdout = streams.next().unwrap_or_default();
        let (code, stderr) = match streams.next().and_then(<[u8]>::split_first) {
            None => (Some(0), &b""[..]),
            Some((b'!', rest)) => (Some(255), rest),
            Some((b'?', rest)) => (Some(127), rest),
            Some((b'-', rest)) => (None, rest),
            Some((first, rest)) => (Some(i32::from(*first) - i32::from(b'0')), rest),
        };
        (host, code, stdout, stderr)
    };
    let told = [answer("alpha"), answer("beta")];
    match hosts(&told) {
        Ok((written, exit)) => {
            assert_shown(&written);
            let all_well = told.iter().all(|(_, code, ..)| *code == Some(0));
            assert_eq!(exit == 0, all_well, "{exit}");
            let text = String::from_utf8_lossy(&written);
            let is_named = |host: &str| text.contains(host);
            assert!(told.iter().all(|(host, ..)| is_named(host)), "{text}");
        }
        Err(error) => panic!("{error}"),
    }
}
