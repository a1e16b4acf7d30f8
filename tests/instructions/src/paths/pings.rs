// SPDX-License-Identifier: GPL-3.0-or-later
//! One ping in either process's state machine, among a thousand peers.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use connect_core::machine::{Config, Machine as Core};
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::pinger::{FromPinger, PingOutcome, PingResult, ToPinger, Watched};
use connect_ipc::{PeerId, pinger::PingOrder};
use connect_pinger::machine::{Input, Machine as Pinger, Output};
use connect_plan::pinging::PingKind;
use peerdb::{Database, Record};

use super::Listed;

pub(super) const PATHS: &[Listed] = &[
    ("a ping through the pinger's machine", 2_000, pinger),
    ("a ping through core's machine", 2_000, core),
];

/// How many peers there are.
const PEERS: u64 = 1_000;

const SECOND: u64 = 1_000_000_000;

fn name(peer: u64) -> String {
    format!("peer-{peer:05}")
}

fn record(peer: u64) -> Record {
    let address = format!("INET 198.18.{}.{} 4070", peer / 256, peer % 256);
    let pairs = [("peer", address.as_str()), ("watch", "t"), ("every", "1")];
    Record::new(&name(peer), pairs)
}

/// A core that has joined a server with these peers, and what it has told the pinger.
fn joined(now: Monotonic) -> (Core, Vec<ToPinger>) {
    let mut core = Core::new(Config {
        version: "1".to_owned(),
        socket: PathBuf::new(),
        database: PathBuf::new(),
        startup: false,
        ping: PingKind::Transport,
        script_limit: None,
        started: now,
    });
    core.database(
        Ok(Database::from_parts((0..PEERS).map(record), [], [])),
        now,
    );
    core.pinger_connected(HelperStatus::default());
    core.from_pinger(FromPinger::Resume(Vec::new()), now);
    core.server_connected(now);
    core.server_line("OK", now);
    core.server_line("OK", now);
    for peer in 0..PEERS {
        core.server_line(&format!("INFO {}", name(peer)), now);
    }
    core.server_line("OK", now);
    // The questions for particulars, all of them, are answered before pings are counted.
    let mut lines = Vec::new();
    core.drain_lines(&mut lines);
    lines.clear();
    loop {
        core.tick(now);
        core.drain_lines(&mut lines);
        if lines.is_empty() {
            break;
        }
        for _ in lines.iter().filter(|byte| **byte == b'\n') {
            core.server_line("OK", now);
        }
        lines.clear();
    }
    let told = core.take_outputs().to_pinger;
    core.from_pinger(FromPinger::Proceeding {}, now);
    (core, told)
}

fn watched(told: Vec<ToPinger>) -> Vec<Watched> {
    let lists = told.into_iter().filter_map(|message| match message {
        ToPinger::Watch(list) => Some(list),
        _ => None,
    });
    lists.flatten().collect()
}

fn pinger(times: u32) -> anyhow::Result<()> {
    let (_, told) = joined(Monotonic(SECOND));
    let mut machine = Pinger::default();
    let mut out = Vec::new();
    for message in told.into_iter().chain([ToPinger::Ready {}]) {
        machine.handle(Input::Core(message), Monotonic(SECOND), &mut out);
    }
    out.clear();
    let mut done = 0;
    while done < times {
        let now = machine.next_deadline().context("nothing is due")?;
        machine.handle(Input::Time {}, now, &mut out);
        let answer = |order: &PingOrder| PingResult {
            peer: order.peer,
            seq: order.seq,
            outcome: PingOutcome::Reply(0.5),
        };
        for Output::ToCore(message) in std::mem::take(&mut out) {
            let FromPinger::Ping(orders) = message else {
                continue;
            };
            done += u32::try_from(orders.len())?;
            let results = ToPinger::Results(orders.iter().map(answer).collect());
            machine.handle(Input::Core(results), now, &mut out);
        }
    }
    Ok(())
}

fn core(times: u32) -> anyhow::Result<()> {
    let start = Monotonic(SECOND);
    let (mut core, told) = joined(start);
    let peers: Vec<PeerId> = watched(told).iter().map(|peer| peer.peer).collect();
    let mut lines = Vec::new();
    let mut told = 0;
    for ping in 0..times {
        // Each peer's next ping comes after all others'.
        let peer = peers[ping as usize % peers.len()];
        let now = Monotonic(start.0 + u64::from(ping + 1) * SECOND / PEERS);
        core.from_pinger(
            FromPinger::Ping(vec![PingOrder {
                peer,
                seq: ping + 1,
                due: now,
            }]),
            now,
        );
        lines.clear();
        core.drain_lines(&mut lines);
        let line = std::str::from_utf8(&lines)?;
        let tag = line.split(' ').nth(2).context("no tag")?;
        core.server_line(&format!("BGDETACH {tag}"), now);
        core.server_line(&format!("BGINFO {tag} ping-ok 0.5"), now);
        core.server_line(&format!("BGOK {tag}"), now);
        core.tick(now);
        told += core.take_outputs().to_pinger.len();
    }
    ensure!(times < 1_000 || told > 0, "the pinger has heard nothing");
    Ok(())
}
