// SPDX-License-Identifier: GPL-3.0-or-later
//! One ping in either process's state machine, among a thousand peers.

use std::hint::black_box;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use connect_core::machine::{
    COALESCE, Config, ConnectionId, Input, Loaded, Machine as Core, Output,
};
use connect_core::recording::{self, Recorder};
use connect_core::secrets::Secrets;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::HelperStatus;
use connect_ipc::pinger::{EndedPing, FromPinger, PingResult, ToPinger, Watched};
use connect_ipc::{PeerId, pinger::PingOrder};
use connect_pinger::machine as pinger_machine;
use connect_pinger::machine::Machine as Pinger;
use connect_policy::hooks::DefaultHooks;
use connect_policy::pinging::PingKind;
use peerdb::{Database, Record};

use super::Listed;

pub(super) const PATHS: &[Listed] = &[
    ("a ping through the pinger's machine", 2_000, pinger),
    ("a ping through core's machine", 2_000, core),
    ("an input and an output recorded", 2_000, recorded),
];

/// How many peers there are.
pub(super) const PEERS: u64 = 1_000;

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn name(peer: u64) -> String {
    format!("peer-{peer:05}")
}

fn record(peer: u64) -> Record {
    let address = format!("INET 198.18.{}.{} 4070", peer / 256, peer % 256);
    let pairs = [("peer", address.as_str()), ("watch", "t"), ("every", "1")];
    Record::new(&name(peer), pairs)
}

/// The connection of the pinger.
pub(super) const PINGER: ConnectionId = ConnectionId(3);

/// A core, and what comes out of it in a turn.
pub(super) struct Turns {
    core: Core,
    outputs: Vec<Output>,
    /// The lines for the server of the last turn.
    pub lines: Vec<u8>,
    /// What the pinger was told.
    pub told: Vec<ToPinger>,
}

impl Turns {
    /// Hands inputs to core and ends the turn.
    fn turn<'a>(&mut self, inputs: impl IntoIterator<Item = Input<'a>>, now: Monotonic) {
        for input in inputs {
            self.feed(input, now);
        }
        self.end(now);
    }

    /// When core has something to do.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        self.core.next_deadline()
    }

    /// Adds to what the pinger was told.
    pub(super) fn tell(&mut self, message: ToPinger) {
        self.told.push(message);
    }

    /// Hands an input to core.
    pub(super) fn feed(&mut self, input: Input<'_>, now: Monotonic) {
        self.core.handle(input, now, &mut self.outputs);
    }

    /// Ends the turn.
    pub(super) fn end(&mut self, now: Monotonic) {
        self.core.handle(Input::EndOfTurn, now, &mut self.outputs);
        self.lines.clear();
        for output in self.outputs.drain(..) {
            match output {
                Output::ServerLines(lines) => self.lines = lines,
                Output::ToPinger(_, message) => self.told.push(message),
                _ => {}
            }
        }
    }
}

/// A line of the server.
pub(super) fn line(text: &str) -> Input<'_> {
    Input::ServerLine(text.into())
}

fn config(now: Monotonic) -> Config {
    Config {
        version: "1".to_owned(),
        boot: None,
        pid: 1,
        socket: PathBuf::new(),
        database: PathBuf::new(),
        startup: false,
        ping: PingKind::Transport,
        script_limit: None,
        hooks: DefaultHooks::default(),
        exit_on_disconnect: false,
        server_wait: None,
        started: now,
    }
}

/// A core that has joined a server with these peers, and what it has told the pinger.
pub(super) fn joined(now: Monotonic) -> Turns {
    let core = Core::new(config(now));
    let mut turns = Turns {
        core,
        outputs: Vec::new(),
        lines: Vec::new(),
        told: Vec::new(),
    };
    let database = Database::from_parts((0..PEERS).map(record), [], []);
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
    turns.turn(inputs, now);
    for peer in 0..PEERS {
        turns.turn([line(&format!("INFO {}", name(peer)))], now);
    }
    // The questions about the peers, all of them, are answered before pings are counted.
    turns.turn([line("OK")], now);
    while !turns.lines.is_empty() {
        let questions = turns.lines.iter().filter(|byte| **byte == b'\n').count();
        turns.turn((0..questions).map(|_| line("OK")), now);
    }
    let proceeding = Input::Pinger(PINGER, FromPinger::Proceeding {});
    turns.turn([proceeding], now);
    turns
}

fn watched(told: Vec<ToPinger>) -> Vec<Watched> {
    let lists = told.into_iter().filter_map(|message| match message {
        ToPinger::Watch { peers, .. } => Some(peers),
        _ => None,
    });
    lists.flatten().collect()
}

fn pinger(times: u32) -> anyhow::Result<()> {
    let told = joined(Monotonic(SECOND)).told;
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
        let answer = |order: &PingOrder| EndedPing {
            peer: order.peer,
            seq: order.seq,
            result: PingResult::Reply(0.5),
        };
        for pinger_machine::Output::ToCore(message) in std::mem::take(&mut out) {
            let FromPinger::Ping(orders) = message else {
                continue;
            };
            done += u32::try_from(orders.len())?;
            let results = ToPinger::Results {
                at: now,
                ended: orders.iter().map(answer).collect(),
            };
            machine.handle(pinger_machine::Input::Core(results), now, &mut out);
        }
    }
    Ok(())
}

fn core(times: u32) -> anyhow::Result<()> {
    let start = Monotonic(SECOND);
    let mut turns = joined(start);
    let told = std::mem::take(&mut turns.told);
    let peers: Vec<PeerId> = watched(told).iter().map(|peer| peer.peer).collect();
    let mut messages = 0;
    // One turn a ping, as soon as core sends the next one: what the server says of the one before
    // comes together with the next order.
    let mut answer: [String; 3] = Default::default();
    for ping in 0..times {
        // Each peer's next ping comes after all others'.
        let peer = peers[ping as usize % peers.len()];
        let now = start + COALESCE * (ping + 1);
        let order = PingOrder {
            peer,
            seq: ping + 1,
            due: now,
        };
        let order = Input::Pinger(PINGER, FromPinger::Ping(vec![order]));
        if ping > 0 {
            for text in &answer {
                turns.feed(line(text), now);
            }
        }
        turns.feed(order, now);
        turns.end(now);
        let sent = std::str::from_utf8(&turns.lines)?;
        let tag = sent.split(' ').nth(2).context("no tag")?;
        answer = [
            format!("BGDETACH {tag}"),
            format!("BGINFO {tag} ping-ok 0.5"),
            format!("BGOK {tag}"),
        ];
        messages += turns.told.len();
        turns.told.clear();
    }
    ensure!(times < 1_000 || messages > 0, "the pinger was told nothing");
    Ok(())
}

/// What `--record` adds to an input that has an output, but for handing it to the thread that
/// writes: what that costs depends on whose turn it is.
fn recorded(times: u32) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("recording");
    let recorder = Recorder::create(&path, &config(Monotonic(SECOND)))?;
    // As after a passive connection: each word of a line is looked at.
    let mut secrets = Secrets::default();
    secrets.learn("AAAAAG9vAAAAAG9vAAAAAG9vAAAAAG9vAAAA");
    let outputs = [Output::ServerLines(
        b"PING -background c0.0 -timeout 10 peer-00001\n".to_vec(),
    )];
    for at in 0..times {
        let input = recorder
            .input(&line("BGINFO c0.0 ping-ok 0.5"))
            .context("the recording has ended")?;
        black_box(recording::line(
            Monotonic(u64::from(at)),
            &input,
            &outputs,
            &secrets,
        ));
    }
    Ok(())
}
