// SPDX-License-Identifier: GPL-3.0-or-later
//! A server that says anything, cut anywhere, while commands and jobs are outstanding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripe_admin::line::{Line, LineBuffer};
use tripe_admin::session::Session;

fuzz_target!(|chunks: Vec<Vec<u8>>| {
    let mut lines = LineBuffer::new(1024);
    let mut session = Session::new();
    for (number, chunk) in chunks.iter().enumerate() {
        let _ = session.command(number, ["LIST"]);
        if let Ok(tag) = session.background(number, "PING", ["alice"])
            && number % 3 == 0
        {
            session.cancel(tag);
        }
        lines.push(chunk);
        while let Some(line) = lines.next_line() {
            if let Line::Text(text) = line {
                let _ = session.receive(&text);
            }
        }
    }
    session.reset();
});
