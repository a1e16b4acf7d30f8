// SPDX-License-Identifier: GPL-3.0-or-later
//! One ping through everything of ours that it passes, and beside it what the floor of the
//! benchmark does for a ping. The system's part is not counted.

use std::hint::black_box;

use anyhow::{Context as _, ensure};
use connect_core::machine::{COALESCE, Input};
use connect_ipc::clock::Monotonic;
use connect_ipc::frame;
use connect_ipc::pinger::{FromPinger, ToPinger};
use connect_pinger::machine::{Input as PingerInput, Machine as Pinger, Output as PingerOutput};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tripe_admin::line::{Line, LineBuffer, MAX_RECEIVED};

use super::Listed;
use super::pings::{PEERS, PINGER, SECOND, Turns, joined, line, name};

pub(super) const PATHS: &[Listed] = &[
    ("a ping through all that is ours", 2_000, ours),
    ("a ping of the floor", 2_000, floor),
];

/// Both machines, what they say to each other, and the server's lines.
struct Whole {
    core: Turns,
    pinger: Pinger,
    from_pinger: Vec<PingerOutput>,
    lines: LineBuffer,
    answered: u32,
}

/// A thousand peers, each pinged every second and answered at once.
fn ours(times: u32) -> anyhow::Result<()> {
    let mut now = Monotonic(SECOND);
    let mut whole = Whole {
        core: joined(now),
        pinger: Pinger::default(),
        from_pinger: Vec::new(),
        lines: LineBuffer::new(MAX_RECEIVED),
        answered: 0,
    };
    whole.core.tell(ToPinger::Ready {});
    whole.tell_pinger(now)?;
    let mut turns = 0;
    while whole.answered < times {
        let deadlines = [whole.core.next_deadline(), whole.pinger.next_deadline()];
        let next = deadlines.into_iter().flatten().min();
        now = now.max(next.context("nothing is due")?);
        whole.turn(now)?;
        turns += 1;
        ensure!(turns < 1_000 + 20 * times, "turns without pings");
    }
    Ok(())
}

impl Whole {
    /// Does what is due, and hears the answers to what was sent.
    fn turn(&mut self, now: Monotonic) -> anyhow::Result<()> {
        if self.pinger.next_deadline().is_some_and(|due| due <= now) {
            let out = &mut self.from_pinger;
            self.pinger.handle(PingerInput::Time {}, now, out);
        }
        for PingerOutput::ToCore(message) in std::mem::take(&mut self.from_pinger) {
            let message: FromPinger = carried(&message)?;
            self.core.feed(Input::Pinger(PINGER, message), now);
        }
        self.core.end(now);
        let sent = std::mem::take(&mut self.core.lines);
        for sent in std::str::from_utf8(&sent)?.lines() {
            // Each of them, `PING -background TAG ...', is answered by the server.
            let mut words = sent.split(' ');
            let (command, tag) = (words.next(), words.nth(1).unwrap_or_default());
            ensure!(command == Some("PING"), "core says {sent}");
            let answer = format!("BGDETACH {tag}\nBGINFO {tag} ping-ok 0.5\nBGOK {tag}\n");
            self.lines.push(answer.as_bytes());
            self.answered += 1;
        }
        while let Some(Line::Text(text)) = self.lines.next_line() {
            self.core.feed(line(&text), now);
        }
        self.core.end(now);
        self.tell_pinger(now)
    }

    /// Hands the pinger what core has said to it.
    fn tell_pinger(&mut self, now: Monotonic) -> anyhow::Result<()> {
        for message in std::mem::take(&mut self.core.told) {
            let message = PingerInput::Core(carried(&message)?);
            self.pinger.handle(message, now, &mut self.from_pinger);
        }
        Ok(())
    }
}

/// A message as it arrives in the other process.
fn carried<M: Serialize + DeserializeOwned>(message: &M) -> anyhow::Result<M> {
    let mut bytes = Vec::new();
    frame::encode(message, &mut bytes)?;
    Ok(frame::decode(std::str::from_utf8(&bytes)?.trim_end())?)
}

/// The floor has the line of each peer ready, and keeps nothing but when the next one is due.
fn floor(times: u32) -> anyhow::Result<()> {
    let all: Vec<String> = (0..PEERS)
        .map(|peer| format!("PING -background f{peer} -timeout 10 {}\n", name(peer)))
        .collect();
    let due = |ping: u64| Monotonic(SECOND * (ping / PEERS) + SECOND * (ping % PEERS) / PEERS);
    let mut lines = Vec::new();
    let (mut ping, mut next) = (0, due(0));
    while ping < u64::from(times) {
        let now = next;
        lines.clear();
        while due(ping) <= now {
            let line = all.get((ping % PEERS) as usize).context("no such peer")?;
            lines.extend_from_slice(line.as_bytes());
            ping += 1;
        }
        black_box(&lines);
        next = due(ping).max(now + COALESCE);
    }
    Ok(())
}
