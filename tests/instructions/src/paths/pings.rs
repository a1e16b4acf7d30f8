// SPDX-License-Identifier: GPL-3.0-or-later
//! One ping in either process's state machine, among a thousand peers.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use connect_core::machine::{Config, ConnectionId, Input, Loaded, Machine as Core, Output};
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::pinger::{FromPinger, PingOutcome, PingResult, ToPinger, Watched};
use connect_ipc::{PeerId, pinger::PingOrder};
use connect_pinger::machine as pinger_machine;
use connect_pinger::machine::Machine as Pinger;
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

/// The connection of the pinger.
const PINGER: ConnectionId = ConnectionId(3);

/// Hands an input to core and ends the turn; gives the lines for the server, and adds to `told`
/// what the pinger is told.
fn turn(
    core: &mut Core,
    inputs: impl IntoIterator<Item = Input<'static>>,
    now: Monotonic,
    told: &mut Vec<ToPinger>,
) -> Vec<u8> {
    let mut outputs = Vec::new();
    for input in inputs {
        core.handle(input, now, &mut outputs);
    }
    core.handle(Input::EndOfTurn, now, &mut outputs);
    let mut lines = Vec::new();
    for output in outputs {
        match output {
            Output::ServerLines(some) => lines.extend(some),
            Output::ToPinger(_, message) => told.push(message),
            _ => {}
        }
    }
    lines
}

/// Lines of the server.
fn line(text: impl Into<String>) -> Input<'static> {
    Input::ServerLine(text.into().into())
}

/// A core that has joined a server with these peers, and what it has told the pinger.
fn joined(now: Monotonic) -> (Core, Vec<ToPinger>) {
    let mut core = Core::new(Config {
        version: "1".to_owned(),
        pid: 1,
        socket: PathBuf::new(),
        database: PathBuf::new(),
        startup: false,
        ping: PingKind::Transport,
        script_limit: None,
        exit_on_disconnect: false,
        server_wait: None,
        started: now,
    });
    let database = Database::from_parts((0..PEERS).map(record), [], []);
    let mut told = Vec::new();
    let inputs = [
        Input::Database(Loaded::from(Ok(database))),
        Input::PingerConnected {
            connection: PINGER,
            status: HelperStatus::default(),
        },
        Input::Pinger(PINGER, FromPinger::Resume(Vec::new())),
        Input::ServerConnected { run: None },
        line("OK"),
        line("OK"),
    ];
    turn(&mut core, inputs, now, &mut told);
    let peers = (0..PEERS).map(|peer| line(format!("INFO {}", name(peer))));
    // The questions about the peers, all of them, are answered before pings are counted.
    let mut lines = turn(&mut core, peers.chain([line("OK")]), now, &mut told);
    while !lines.is_empty() {
        let questions = lines.iter().filter(|byte| **byte == b'\n').count();
        let answers = (0..questions).map(|_| line("OK"));
        lines = turn(&mut core, answers, now, &mut told);
    }
    let proceeding = Input::Pinger(PINGER, FromPinger::Proceeding {});
    turn(&mut core, [proceeding], now, &mut told);
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
        machine.handle(
            pinger_machine::Input::Core(message),
            Monotonic(SECOND),
            &mut out,
        );
    }
    out.clear();
    let mut done = 0;
    while done < times {
        let now = machine.next_deadline().context("nothing is due")?;
        machine.handle(pinger_machine::Input::Time {}, now, &mut out);
        let answer = |order: &PingOrder| PingResult {
            peer: order.peer,
            seq: order.seq,
            outcome: PingOutcome::Reply(0.5),
        };
        for pinger_machine::Output::ToCore(message) in std::mem::take(&mut out) {
            let FromPinger::Ping(orders) = message else {
                continue;
            };
            done += u32::try_from(orders.len())?;
            let results = ToPinger::Results(orders.iter().map(answer).collect());
            machine.handle(pinger_machine::Input::Core(results), now, &mut out);
        }
    }
    Ok(())
}

fn core(times: u32) -> anyhow::Result<()> {
    let start = Monotonic(SECOND);
    let (mut core, told) = joined(start);
    let peers: Vec<PeerId> = watched(told).iter().map(|peer| peer.peer).collect();
    let mut told = Vec::new();
    let mut messages = 0;
    for ping in 0..times {
        // Each peer's next ping comes after all others'.
        let peer = peers[ping as usize % peers.len()];
        let now = Monotonic(start.0 + u64::from(ping + 1) * SECOND / PEERS);
        let order = PingOrder {
            peer,
            seq: ping + 1,
            due: now,
        };
        let order = Input::Pinger(PINGER, FromPinger::Ping(vec![order]));
        let lines = turn(&mut core, [order], now, &mut told);
        let sent = std::str::from_utf8(&lines)?;
        let tag = sent.split(' ').nth(2).context("no tag")?;
        let answer = [
            line(format!("BGDETACH {tag}")),
            line(format!("BGINFO {tag} ping-ok 0.5")),
            line(format!("BGOK {tag}")),
        ];
        turn(&mut core, answer, now, &mut told);
        messages += told.len();
        told.clear();
    }
    ensure!(times < 1_000 || messages > 0, "the pinger was told nothing");
    Ok(())
}
