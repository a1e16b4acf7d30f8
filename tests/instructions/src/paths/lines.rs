// SPDX-License-Identifier: GPL-3.0-or-later
//! Lines of the administration protocol: splitting, quoting, and a ping's three answers.

use std::hint::black_box;

use tripe_admin::line::{Line, LineBuffer, MAX_RECEIVED};
use tripe_admin::session::{Event, Session};
use tripe_admin::token;

use super::{Listed, repeat};

pub(super) const PATHS: &[Listed] = &[
    ("split a plain line", 1_000, split_plain),
    ("split a quoted line", 1_000, split_quoted),
    ("quote a line", 1_000, quote),
    ("send a ping and hear its three lines", 600, session),
];

fn split_plain(times: u32) -> anyhow::Result<()> {
    repeat(times, || {
        token::split(black_box("NOTE NEWADDR alice INET 192.0.2.1 4070"))
    });
    Ok(())
}

fn split_quoted(times: u32) -> anyhow::Result<()> {
    let line = r#"WARN connect alice "two words" 'it\'s' back\ slash"#;
    repeat(times, || token::split(black_box(line)));
    Ok(())
}

fn quote(times: u32) -> anyhow::Result<()> {
    let words = ["SVCINFO", "J0000abcd", "key=two words", "say \"hi\""];
    repeat(times, || token::join(black_box(words)));
    Ok(())
}

fn session(times: u32) -> anyhow::Result<()> {
    let mut session = Session::new();
    let mut lines = LineBuffer::new(MAX_RECEIVED);
    let mut output = Vec::new();
    let mut ended = 0;
    for _ in 0..times {
        let words = ["-timeout", "10", "peer-00001"];
        let tag = session.background(1u64, "PING", words)?;
        output.clear();
        session.drain_output(&mut output);
        let answer = format!("BGDETACH {tag}\nBGINFO {tag} ping-ok 0.5\nBGOK {tag}\n");
        lines.push(answer.as_bytes());
        while let Some(Line::Text(line)) = lines.next_line() {
            if let Event::Done { .. } = session.receive(&line) {
                ended += 1;
            }
        }
    }
    anyhow::ensure!(ended == times, "{ended} of {times} pings ended");
    Ok(())
}
