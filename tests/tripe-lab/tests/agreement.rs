// SPDX-License-Identifier: GPL-3.0-or-later
//! Two servers' cores with a lossy wire between them and a clock of their own: whatever is lost, in
//! the end both have keys, and then it is quiet.

use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tripe_lab::LabConfig;
use tripe_lab::faults::Chance;
use tripe_lab::server::{ClientId, Input, Output, Server, Watch};

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from((
        [127, 0, 0, 1],
        1_000 + u16::try_from(index).unwrap_or_default(),
    ))
}

/// So many cases; a failing one is printed whole and needs no file to be played again.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Two servers with nothing but loss and time between them.
struct Pair {
    servers: [Server; 2],
    now: Duration,
    /// Datagrams under way: to which server, from where, and what.
    wire: Vec<(usize, SocketAddr, Vec<u8>)>,
    heard: [Vec<String>; 2],
}

impl Pair {
    fn new(seed: u64, loss: u32) -> Self {
        let server = |index: usize| {
            let mut config = LabConfig {
                seed: seed + index as u64,
                ..LabConfig::new("/nonexistent")
            };
            config.faults.net.loss = Chance::percent(loss);
            Server::new(config, vec![addr(index)], 0, SystemTime::UNIX_EPOCH)
        };
        Pair {
            servers: [server(0), server(1)],
            now: Duration::ZERO,
            wire: Vec::new(),
            heard: [Vec::new(), Vec::new()],
        }
    }

    fn feed(&mut self, index: usize, input: Input<'_>) {
        let mut outputs = Vec::new();
        self.servers[index].handle(input, self.now, &mut outputs);
        for output in outputs {
            match output {
                Output::Datagram(to, bytes) if to == addr(1 - index) => {
                    self.wire.push((1 - index, addr(index), bytes));
                }
                Output::Broadcast(line) => self.heard[index].push(line),
                _ => {}
            }
        }
    }

    fn settle(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            while !self.wire.is_empty() {
                let (to, from, bytes) = self.wire.remove(0);
                self.feed(to, Input::Datagram(from, bytes.into()));
            }
            let next = self.servers.iter().filter_map(Server::next_deadline).min();
            self.now = next.map_or(until, |at| at.clamp(self.now, until));
            for index in 0..2 {
                self.feed(index, Input::Tick);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn two_servers_come_to_agree_in_spite_of_loss(
        seed in any::<u32>(),
        loss in 0..40_u32,
        options in prop_oneof![
            Just(["", ""]), Just(["-cork ", ""]), Just(["", "-cork "]), Just(["-knock a.p0 ", ""]),
        ],
        late in 0..50_u64,
    ) {
        let mut pair = Pair::new(u64::from(seed), loss);
        for index in 0..2 {
            pair.feed(index, Input::Connect(ClientId(1), Watch::default()));
        }
        for (index, option) in options.into_iter().enumerate() {
            let other = 1 - index;
            let port = addr(other).port();
            let line = format!("ADD {option}p{other} INET 127.0.0.1 {port}");
            pair.feed(index, Input::Line(ClientId(1), line.as_bytes().into()));
            pair.settle(Duration::from_secs(late));
        }
        pair.settle(Duration::from_secs(600));
        for index in 0..2 {
            let peer = format!("p{}", 1 - index);
            let done = format!("NOTE KXDONE {peer}");
            prop_assert!(pair.heard[index].contains(&done), "{:?}", pair.heard[index]);
            prop_assert!(pair.servers[index].peers()[0].has_keys);
        }
        // And it is quiet: nobody goes on exchanging keys for ever.
        let before = pair.heard.clone();
        pair.settle(Duration::from_secs(600));
        prop_assert_eq!(before, pair.heard);
    }
}
