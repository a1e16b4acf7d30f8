// SPDX-License-Identifier: GPL-3.0-or-later
//! A server that says anything, cut anywhere, while commands and jobs are outstanding. A NUL stands
//! for the end of a read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripe_admin::line::{Line, LineBuffer};
use tripe_admin::session::Session;

/// Longer lines are thrown away.
const LIMIT: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = LineBuffer::new(LIMIT);
    let mut session = Session::new();
    let mut all = Vec::new();
    let mut seen = Vec::new();
    for (number, chunk) in bytes.split(|byte| *byte == 0).enumerate() {
        let _ = session.command(number, ["LIST"]);
        if let Ok(tag) = session.background(number, "PING", ["alice"])
            && number % 3 == 0
        {
            session.cancel(tag);
        }
        lines.push(chunk);
        all.extend_from_slice(chunk);
        while let Some(line) = lines.next_line() {
            if let Line::Text(text) = &line {
                let _ = session.receive(text);
            }
            seen.push(shown(&line));
        }
        assert!(session.outstanding() <= 2 * (number + 1));
    }
    session.reset();
    assert_eq!(session.outstanding(), 0);
    // Lines do not depend on where the reads end.
    let mut whole = LineBuffer::new(LIMIT);
    whole.push(&all);
    let mut lines = seen.iter();
    while let Some(line) = whole.next_line() {
        assert_eq!(Some(&shown(&line)), lines.next());
    }
    assert_eq!(lines.next(), None);
});

/// A line as text; of one that is too long, its length.
fn shown(line: &Line<'_>) -> String {
    match line {
        Line::Text(text) => {
            assert!(text.len() <= 4 * LIMIT);
            text.clone().into_owned()
        }
        Line::TooLong { length, .. } => format!("<{length}>"),
    }
}
