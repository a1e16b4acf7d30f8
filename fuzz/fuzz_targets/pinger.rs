// SPDX-License-Identifier: GPL-3.0-or-later
//! Any lines as what the pinger is told, while time passes. A line that is no message of core
//! stands for another input, by its first character.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::frame::{decode, encode};
use connect_ipc::pinger::{FromPinger, PingOrder, ToPinger};
use connect_liveness::Liveness;
use connect_pinger::machine::{Input, Machine, Output};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut now = Monotonic(1_000_000_000);
    let mut machine = Machine::default();
    let mut core = Core::default();
    let mut out = Vec::new();
    for line in text.lines() {
        let input = match decode::<ToPinger>(line) {
            Ok(message) => {
                core.tells(&message, now);
                Input::Core(message)
            }
            Err(error) => match line.chars().next() {
                Some('c') => Input::CoreConnected {},
                Some('l') => Input::CoreLost {},
                Some('m') => Input::Malformed(error.to_string()),
                Some('s') => {
                    now = now + Duration::from_secs(line.len() as u64);
                    Input::Time {}
                }
                _ => {
                    let due = machine.next_deadline();
                    now = due.map_or(now, |due| due.max(now));
                    Input::Time {}
                }
            },
        };
        machine.handle(input, now, &mut out);
        machine.handle(Input::Time {}, now, &mut out);
        for Output::ToCore(message) in out.drain(..) {
            core.hears(&message);
        }
        now = now + Duration::from_millis(7);
    }
    // What it knows of each peer is told to the next core.
    let peers = machine.peers();
    machine.handle(Input::CoreConnected {}, now, &mut out);
    let told = out.iter().map(|Output::ToCore(message)| match message {
        FromPinger::Resume(list) => list.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.sum::<usize>(), peers);
    for Output::ToCore(message) in out.drain(..) {
        core.hears(&message);
    }
});

/// What core does with the same messages.
#[derive(Default)]
struct Core(HashMap<PeerId, Liveness>);

impl Core {
    /// Takes a message to the pinger. Figures only grow by it.
    fn tells(&mut self, message: &ToPinger, now: Monotonic) {
        match message {
            ToPinger::Watch { peers, .. } => {
                for watched in peers {
                    if let Some(phase) = watched.phase {
                        let liveness = Liveness::standing(watched.plan, phase, watched.statistics);
                        self.0.insert(watched.peer, liveness);
                    }
                }
            }
            ToPinger::Results { ended, .. } => {
                for ping in ended {
                    let Some(peer) = self.0.get_mut(&ping.peer) else {
                        continue;
                    };
                    let (figures, phase) = (*peer.statistics(), *peer.phase());
                    let judged = peer.result(ping.peer, ping.seq, ping.result, now);
                    let (then, after) = (*peer.statistics(), *peer.phase());
                    assert!(then.replies >= figures.replies && then.lost >= figures.lost);
                    assert!(after.failures >= phase.failures, "{phase:?} {after:?}");
                    let is_down = judged.is_some_and(|it| it.unreachable.is_some());
                    assert!(!is_down || after.failed_checks >= phase.failed_checks);
                    let share = then.loss().unwrap_or_default();
                    assert!((0.0..=1.0).contains(&share), "{share}");
                }
            }
            _ => {}
        }
    }

    /// Takes a message of the pinger, which can be sent and is read as it was sent.
    fn hears(&self, message: &FromPinger) {
        let mut line = Vec::new();
        if let Err(error) = encode(message, &mut line) {
            panic!("{message:?} cannot be sent: {error}");
        }
        let text = String::from_utf8_lossy(&line);
        match decode::<FromPinger>(text.trim_end()) {
            Ok(again) => assert_eq!(again, *message),
            Err(error) => panic!("{text} cannot be read: {error}"),
        }
        if let FromPinger::Ping(orders) | FromPinger::Late(orders) = message {
            let mut peers: Vec<PeerId> =
                orders.iter().map(|PingOrder { peer, .. }| *peer).collect();
            peers.sort_unstable();
            peers.dedup();
            assert_eq!(peers.len(), orders.len(), "two pings of a peer at a time");
        }
    }
}
