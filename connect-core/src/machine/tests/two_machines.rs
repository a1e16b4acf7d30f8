// SPDX-License-Identifier: GPL-3.0-or-later
//! Core's machine and the pinger's wired together, with a small server: a pinger that is killed
//! between any two messages changes nothing that the server or an operator can see.
//!
//! Both runs of a test have the same ends of pings and the same events, and time moves in steps, so
//! everything they do must be the same to the instant.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use connect_ipc::PeerId;
use connect_ipc::clock::Monotonic;
use connect_ipc::control::ServerLink;
use connect_ipc::pinger::{FromPinger, PingPhase, Remembered};
use connect_ipc::statistics::PingStatistics;
use connect_pinger::machine::{Input, Machine as Pinger, Output};
use peerdb::Record;
use proptest::prelude::*;

use super::rig::{Rig, record};

/// The peers. The last is not dynamic, so it is killed when it is unreachable; its server adds it
/// again at once.
const PEERS: [&str; 4] = ["p", "q", "r", "static"];

/// How far time moves at once. Every time in these runs is a multiple of it, and so is when a ping
/// is sent.
const STEP: Duration = Duration::from_millis(100);

/// How long a run lasts, in steps.
const STEPS: usize = 600;

/// The seconds between two checks in a variant of a record.
fn every(variant: u8) -> u64 {
    [1, 2, 5][usize::from(variant) % 3]
}

/// A record of each peer, in one of nine variants.
fn records(variants: [u8; PEERS.len()]) -> Vec<Record> {
    let peers = PEERS.iter().zip(variants).map(|(name, variant)| {
        let every = format!("{}s", every(variant));
        let retries = ["4", "2", "1"][usize::from(variant) / 3 % 3];
        let mut pairs = vec![
            ("peer", "INET 192.0.2.1 1"),
            ("watch", "t"),
            ("every", every.as_str()),
            ("timeout", "1s"),
            ("retries", retries),
            ("backoff", "1s"),
            ("backoff-max", "4s"),
        ];
        if *name != "static" {
            pairs.push(("knock", "me"));
        }
        record(name, &pairs)
    });
    peers.collect()
}

/// How a ping ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By a reply after so many steps.
    Reply(u8),
    Timeout,
    Failure,
}

/// What happens besides pings.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Sabotage(usize),
    /// Keys are agreed, after which a peer in trouble is checked at once.
    Keys(usize),
    /// The database changes.
    Database(u8),
    /// The server is away for so many seconds.
    Outage(u8),
}

/// No message after which anything is lost.
static NONE: BTreeSet<usize> = BTreeSet::new();

/// All that is decided beforehand.
#[derive(Clone, Debug)]
struct Plot {
    /// The ends of each peer's pings, which begin again when all were used.
    ends: Vec<Vec<End>>,
    disturbances: BTreeMap<usize, Disturbance>,
}

fn plot() -> impl Strategy<Value = Plot> {
    let end = prop_oneof![
        4 => (0u8..4).prop_map(End::Reply),
        3 => Just(End::Timeout),
        1 => Just(End::Failure),
    ];
    let disturbance = prop_oneof![
        (0..PEERS.len()).prop_map(Disturbance::Sabotage),
        (0..PEERS.len()).prop_map(Disturbance::Keys),
        (0u8..9).prop_map(Disturbance::Database),
        (1u8..4).prop_map(Disturbance::Outage),
    ];
    let ends = prop::collection::vec(prop::collection::vec(end, 1..20), PEERS.len());
    let disturbances = prop::collection::btree_map(0..STEPS, disturbance, 0..25);
    (ends, disturbances).prop_map(|(ends, disturbances)| Plot { ends, disturbances })
}

/// What can be seen of one peer.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Pings, warnings and commands, with their time.
    said: Vec<(Monotonic, String)>,
    statistics: PingStatistics,
    phase: PingPhase,
}

/// A ping that the server has in flight.
struct Flight {
    tag: String,
    peer: String,
    ends: Monotonic,
    end: End,
}

struct World<'a> {
    plot: &'a Plot,
    rig: Rig,
    pinger: Pinger,
    to_core: VecDeque<FromPinger>,
    flights: Vec<Flight>,
    /// How many pings of each peer the server was asked for.
    sent: BTreeMap<String, usize>,
    used: BTreeSet<(PeerId, u32)>,
    seen: BTreeMap<String, Seen>,
    /// After how many messages the pinger is killed.
    kills: &'a BTreeSet<usize>,
    /// After how many messages the server is lost and back at once.
    outages: &'a BTreeSet<usize>,
    messages: usize,
    jobs: usize,
    /// The variants of the records that core has, and those that it is to have.
    given: [u8; PEERS.len()],
    wanted: [u8; PEERS.len()],
}

impl<'a> World<'a> {
    fn new(plot: &'a Plot, kills: &'a BTreeSet<usize>, outages: &'a BTreeSet<usize>) -> Self {
        let mut rig = Rig::alone(&records([0; PEERS.len()]), false);
        rig.slow_pinger = true;
        rig.scripts_come();
        rig.meet(&PEERS);
        let mut world = World {
            plot,
            rig,
            pinger: Pinger::default(),
            to_core: VecDeque::new(),
            flights: Vec::new(),
            sent: BTreeMap::new(),
            used: BTreeSet::new(),
            seen: BTreeMap::new(),
            kills,
            outages,
            messages: 0,
            jobs: 0,
            given: [0; PEERS.len()],
            wanted: [0; PEERS.len()],
        };
        world.start_pinger();
        world
    }

    /// A pinger starts that knows nothing.
    fn start_pinger(&mut self) {
        self.rig.to_pinger.clear();
        self.to_core.clear();
        self.pinger = Pinger::default();
        self.rig.pinger_connects();
        self.give(Input::CoreConnected {});
    }

    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        self.pinger.handle(input, self.rig.now, &mut out);
        let told = out.into_iter().map(|Output::ToCore(message)| message);
        self.to_core.extend(told);
    }

    /// Everything that follows at this instant happens, one message at a time.
    fn settle(&mut self) {
        loop {
            for line in self.rig.sent() {
                self.serve(&line);
            }
            if !self.rig.to_pinger.is_empty() {
                let message = self.rig.to_pinger.remove(0);
                self.give(Input::Core(message));
            } else if let Some(message) = self.to_core.pop_front() {
                if let FromPinger::Error(error) = &message {
                    panic!("core sent a message that makes no sense: {error}");
                }
                self.rig.pinger_says(message);
            } else {
                self.give(Input::Time {});
                self.rig.wait(Duration::ZERO);
                if self.to_core.is_empty() && self.rig.is_silent() {
                    return;
                }
                continue;
            }
            self.messages += 1;
            if self.kills.contains(&self.messages) {
                self.rig.pinger_goes();
                self.start_pinger();
            }
            let up = self.rig.machine.link() == ServerLink::Up;
            if up && self.outages.contains(&self.messages) {
                self.lose_server();
                self.rig.meet(&PEERS);
            }
        }
    }

    fn lose_server(&mut self) {
        self.rig.lose_server();
        self.flights.clear();
        self.rig.sent();
    }

    /// The server takes one line.
    fn serve(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["PING", "-background", tag, .., peer] => {
                self.ping(peer, tag);
                self.rig.hear(&format!("BGDETACH {tag}"));
                return self.end_pings();
            }
            ["WARN" | "NOTIFY", "connect", _, peer, ..] | ["FORCEKX", peer] => {
                self.note(peer, line);
            }
            ["KILL", peer] => {
                self.note(peer, line);
                self.rig.hear("OK");
                self.rig.hear(&format!("NOTE KILL {peer}"));
                return self
                    .rig
                    .hear(&format!("NOTE ADD {peer} tun0 INET 192.0.2.1 1"));
            }
            ["IFNAME", _] => self.rig.hear("INFO tun0"),
            ["ADDR", _] => self.rig.hear("INFO INET 192.0.2.1 1"),
            ["SVCOK", _] | ["NOTIFY", "connect", "peerdb-update"] => {}
            other => panic!("the server was not expected to be told {other:?}"),
        }
        self.rig.hear("OK");
    }

    fn note(&mut self, peer: &str, what: &str) {
        let seen = self.seen.entry(peer.to_owned()).or_default();
        seen.said.push((self.rig.now, what.to_owned()));
    }

    fn ping(&mut self, peer: &str, tag: &str) {
        let other = self.flights.iter().find(|flight| flight.peer == peer);
        assert!(other.is_none(), "two pings of {peer} in flight");
        let id = self.rig.id(peer);
        let adoption = self.rig.machine.peers.get(id).unwrap().adoption();
        let seq = adoption.unwrap().liveness.phase().in_flight.unwrap();
        assert!(self.used.insert((id, seq)), "ping {seq} of {peer} twice");
        self.note(peer, "PING");
        let sent = self.sent.entry(peer.to_owned()).or_default();
        let place = PEERS.iter().position(|name| *name == peer).unwrap();
        let ends = &self.plot.ends[place];
        let end = ends[*sent % ends.len()];
        *sent += 1;
        let time = match end {
            End::Reply(steps) => STEP * u32::from(steps),
            End::Timeout => Duration::from_secs(1),
            End::Failure => STEP,
        };
        self.flights.push(Flight {
            tag: tag.to_owned(),
            peer: peer.to_owned(),
            ends: self.rig.now + time,
            end,
        });
    }

    /// Pings end whose time it is.
    fn end_pings(&mut self) {
        let now = self.rig.now;
        let ended = self.flights.extract_if(.., |flight| flight.ends <= now);
        let ended: Vec<Flight> = ended.collect();
        for Flight { tag, end, .. } in ended {
            match end {
                End::Reply(steps) => {
                    self.rig.hear(&format!("BGINFO {tag} ping-ok {steps}.5"));
                }
                End::Timeout => self.rig.hear(&format!("BGINFO {tag} ping-timeout")),
                End::Failure => {
                    self.rig.hear(&format!("BGFAIL {tag} not-today"));
                    continue;
                }
            }
            self.rig.hear(&format!("BGOK {tag}"));
        }
    }

    /// One step, with what happens in it.
    fn step(&mut self, disturbance: Option<Disturbance>) {
        self.rig.now = self.rig.now + STEP;
        self.end_pings();
        match disturbance {
            Some(Disturbance::Sabotage(peer)) => {
                self.jobs += 1;
                let (job, peer) = (self.jobs, PEERS[peer]);
                self.rig
                    .hear(&format!("SVCJOB J{job} connect sabotage {peer}"));
            }
            Some(Disturbance::Keys(peer)) => self.rig.hear(&format!("NOTE KXDONE {}", PEERS[peer])),
            Some(Disturbance::Outage(seconds)) => {
                self.lose_server();
                for _ in 0..u32::from(seconds) * 10 {
                    self.settle();
                    self.rig.now = self.rig.now + STEP;
                }
                self.rig.meet(&PEERS);
            }
            Some(Disturbance::Database(variant)) => self.wanted = [variant; PEERS.len()],
            None => {}
        }
        self.settle();
        self.change_records();
    }

    /// Core gets the records that it is to have. A longer interval puts off a check unless its ping
    /// is ordered, which it may be in one run and not in the other: it is given at a time at which
    /// no ping can be ordered that is not due.
    fn change_records(&mut self) {
        if self.given == self.wanted {
            return;
        }
        let (now, phases) = (self.rig.now, self.phases());
        let mut next = self.given;
        for (place, name) in PEERS.iter().enumerate() {
            let (old, new) = (self.given[place], self.wanted[place]);
            let ahead = now + Duration::from_millis(every(old) * 500);
            let due = phases.get(*name).map(|phase| phase.due);
            let may_be_ordered = due.is_none_or(|due| due > now && due <= ahead);
            if every(new) <= every(old) || !may_be_ordered {
                next[place] = new;
            }
        }
        if next != self.given {
            self.given = next;
            self.rig.database(&records(next));
            self.settle();
        }
    }

    fn phases(&self) -> BTreeMap<String, PingPhase> {
        let adopted = self.rig.machine.peers.adopted();
        let phases = adopted.into_iter().map(|(_, peer)| {
            let adoption = peer.adoption().unwrap();
            (peer.name().to_owned(), *adoption.liveness.phase())
        });
        phases.collect()
    }

    fn play(&mut self) {
        self.settle();
        for step in 0..STEPS {
            let disturbance = self.plot.disturbances.get(&step).copied();
            self.step(disturbance);
        }
    }

    /// What could be seen of each peer in the end.
    fn seen(mut self) -> BTreeMap<String, Seen> {
        let now = self.rig.now;
        for (_, peer) in self.rig.machine.peers.adopted() {
            let liveness = &peer.adoption().unwrap().liveness;
            let seen = self.seen.entry(peer.name().to_owned()).or_default();
            seen.statistics = *liveness.statistics();
            // An order that was lost on its way is given again with another number.
            let phase = *liveness.phase();
            let is_ahead = phase.due > now && phase.in_flight.is_some();
            // One that is ordered and not due may not be in the other run.
            seen.phase = PingPhase {
                last_seq: 0,
                in_flight: phase.in_flight.filter(|_| !is_ahead).map(|_| 0),
                checking: phase.checking && !(is_ahead && phase.failures == 0),
                ..phase
            };
        }
        self.seen
    }

    /// What core and the pinger hold of each peer in the end.
    fn copies(mut self) -> [Vec<Remembered>; 2] {
        // Replies do not wait in a core that is leaving.
        self.rig.machine.hurry_results();
        (self.kills, self.outages) = (&NONE, &NONE);
        self.settle();
        let adopted = self.rig.machine.peers.adopted().into_iter();
        let core = adopted.map(|(_, peer)| {
            let liveness = &peer.adoption().unwrap().liveness;
            Remembered {
                name: peer.name().to_owned(),
                phase: *liveness.phase(),
                statistics: *liveness.statistics(),
            }
        });
        let core = core.collect();
        self.give(Input::CoreConnected {});
        let lists = self.to_core.into_iter().map(|message| match message {
            FromPinger::Resume(list) => list,
            other => panic!("the pinger says {other:?} to a new core"),
        });
        [core, lists.flatten().collect()].map(|mut copies: Vec<Remembered>| {
            copies.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            copies
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(house::cases(96)))]
    #[test]
    fn a_pinger_that_dies_between_any_two_messages_loses_nothing(
        plot in plot(),
        kills in prop::collection::btree_set(1usize..400, 1..60)
    ) {
        let seen = [&NONE, &kills].map(|kills| {
            let mut world = World::new(&plot, kills, &NONE);
            world.play();
            world.seen()
        });
        for name in PEERS {
            prop_assert_eq!(&seen[1][name], &seen[0][name], "{}", name);
        }
    }

    /// The server may be lost between any two messages as well. Then runs differ, but never has a
    /// peer two pings in flight or a ping the number of another.
    #[test]
    fn core_and_the_pinger_agree_whatever_is_lost_between_any_two_messages(
        plot in plot(),
        kills in prop::collection::btree_set(1usize..400, 0..20),
        outages in prop::collection::btree_set(1usize..400, 1..60)
    ) {
        let mut world = World::new(&plot, &kills, &outages);
        world.play();
        let [core, pinger] = world.copies();
        prop_assert_eq!(core, pinger);
    }
}
