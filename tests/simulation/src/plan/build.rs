// SPDX-License-Identifier: GPL-3.0-or-later
//! A site from a seed: hosts, records, partners and the habits of scripts.

use std::time::Duration;

use connect_policy::resolving;
use tripe_lab::config::DEFAULT_PORT;
use tripe_lab::rng::Rng;

use super::host::HostId;
use super::site::{
    Habit, HostSite, Nat, Partner, RecordSite, ScriptHabits, Site, Switching, Weighted, host_name,
};
use crate::chance::{Chances, What};
use crate::network::{inner, outer, reflected};

/// The first outer port of the host whose address is translated.
const FIRST_PORT: u16 = 30_000;

/// How a peer is connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// By a `connect` of ours.
    Connects,
    /// By a knock of ours.
    Knocks,
    /// At a fixed address; nothing is done to reconnect it.
    Static,
    /// By what the partner does.
    Passive,
}

/// The site of a seed.
pub(super) fn build(chances: Chances, hosts: u8, peers: u32, calm: bool) -> Site {
    let hosts = (0..hosts.max(1)).map(|id| {
        let mut draw = chances.of(What::Site, HostId(id), 0, 0);
        host(chances, &mut draw, HostId(id), hosts, peers, calm)
    });
    Site {
        hosts: hosts.collect(),
    }
}

fn host(
    chances: Chances,
    draw: &mut Rng,
    id: HostId,
    hosts: u8,
    peers: u32,
    calm: bool,
) -> HostSite {
    let mut records = Vec::new();
    // One record for each other host; of two hosts the first one connects.
    for other in (0..hosts).filter(|other| *other != id.0) {
        let kind = match (id.0 < other, (id.0 + other) % 2) {
            (true, 0) => Kind::Knocks,
            (true, _) => Kind::Connects,
            (false, _) => Kind::Passive,
        };
        let partner = Partner::Host(HostId(other));
        records.push(record(draw, &name(other), &name(id.0), kind, partner, calm));
    }
    for number in 0..peers.saturating_sub(u32::from(hosts) - 1) {
        let kind = match number % 20 {
            0..=6 if number % 2 == 0 => Kind::Connects,
            0..=6 => Kind::Knocks,
            7..=13 => Kind::Static,
            _ => Kind::Passive,
        };
        let kind = if calm || peers >= 20 {
            kind
        } else {
            [Kind::Connects, Kind::Static, Kind::Passive, Kind::Knocks][number as usize % 4]
        };
        let partner = Partner::Reflected(u32::from(id.0) * 1_000 + number);
        let peer = format!("p{number}");
        let mut record = record(draw, &peer, &name(id.0), kind, partner, calm);
        let mut draw = chances.of(What::Follow, id, number.into(), 0);
        follow(&mut record, kind, &mut draw);
        records.push(record);
    }
    let users = records
        .iter()
        .map(|it| (format!("user-{}", it.peer), it.peer.clone()));
    let auto = records.iter().filter(|it| !it.is_passive());
    let auto = auto.map(|it| it.peer.clone());
    let reading = draw.below(3);
    HostSite {
        users: users.collect(),
        auto: auto.collect(),
        startup: calm || draw.below(4) > 0,
        keeps_state: calm || draw.below(4) > 0,
        journal: calm || draw.below(8) > 0,
        switches: match reading {
            _ if calm => Switching::Default,
            0 => Switching::Flipped,
            1 => Switching::FlippedAgain,
            _ => Switching::Default,
        },
        nat: (hosts > 1 && id.0 == 0).then_some(Nat {
            first_port: FIRST_PORT,
        }),
        records,
    }
}

/// Has scripts of a quarter of the peers hang now and then that the lab answers for: of one that is
/// another host, `connect` would wait for ever.
pub(super) fn hang(chances: Chances, site: &mut Site) {
    for (id, host) in (0..).map(HostId).zip(&mut site.hosts) {
        for (number, record) in (0..).zip(&mut host.records) {
            let mut draw = chances.of(What::Hang, id, number, 0);
            let is_lab = matches!(record.partner, Partner::Reflected(_));
            if is_lab && draw.below(4) == 0 {
                let scripts = &mut record.scripts;
                let lists = [
                    &mut scripts.ifup,
                    &mut scripts.disconnect,
                    &mut scripts.on_up,
                ];
                for list in lists {
                    let (weight, habit) = (1, Habit::Hangs);
                    list.push(Weighted { weight, habit });
                }
            }
        }
    }
}

/// The name of a host as others know it.
fn name(host: u8) -> String {
    format!("host{host}")
}

fn record(
    draw: &mut Rng,
    peer: &str,
    us: &str,
    kind: Kind,
    partner: Partner,
    calm: bool,
) -> RecordSite {
    let address = match partner {
        Partner::Reflected(number) => reflected(number),
        Partner::Host(HostId(0)) => outer(HostId(0), FIRST_PORT),
        Partner::Host(host) => inner(host),
    };
    let address = format!("INET {} {}", address.ip(), address.port());
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut pair = |key: &str, value: &str| pairs.push((key.to_owned(), value.to_owned()));
    let is_passive = kind == Kind::Passive;
    pair("peer", if is_passive { "PASSIVE" } else { &address });
    pair("watch", "t");
    match kind {
        Kind::Connects => {
            pair("connect", "connect-it");
            pair("disconnect", "disconnect-it");
            // A partner that the lab plays begins no exchange of keys, so it would stay corked.
            if matches!(partner, Partner::Host(_)) {
                pair("cork", "t");
            }
        }
        Kind::Knocks => pair("knock", us),
        Kind::Static | Kind::Passive => {}
    }
    pair("ifup", "up-it");
    pair("ifdown", "down-it");
    if !calm {
        let all = [5, 10, 20, 30, 60, 120, 300];
        let index = usize::try_from(draw.below(7)).unwrap_or(0);
        let every = all.get(index).unwrap_or(&60);
        pair("every", &format!("{every}s"));
        pair("timeout", &format!("{}s", 1 + draw.below(5)));
        pair("retries", &format!("{}", 1 + draw.below(4)));
        if draw.below(4) == 0 {
            pair("ping", "encrypted");
        }
        if draw.below(4) == 0 {
            pair("mobile", "t");
        }
        // Drawing no number more leaves all others as they were.
        if index % 2 == 0 {
            pair("on-up", "tell-up");
            pair("on-down", "tell-down");
        }
        // The name of its variable has runs of other characters than letters and digits.
        pair("a - b", "x");
        if kind == Kind::Static && draw.below(4) == 0 {
            pairs.retain(|(key, _)| key != "ifdown");
        }
    }
    RecordSite {
        peer: peer.to_owned(),
        pairs,
        partner,
        scripts: habits(calm),
    }
}

/// What a record may say about a partner that the lab plays and that does not answer: half of them
/// are looked up by name, and half of the static ones are added again.
fn follow(record: &mut RecordSite, kind: Kind, draw: &mut Rng) {
    let [is_named, comes_back] = [draw.below(2) == 0, draw.below(2) == 0];
    let mut pair = |key: &str, value: &str| record.pairs.push((key.to_owned(), value.to_owned()));
    if kind == Kind::Static && comes_back {
        pair("when-dead", "retry");
    }
    if kind != Kind::Passive && is_named {
        pair(resolving::KEY, "t");
        let address = format!("INET {} {DEFAULT_PORT}", host_name(&record.peer));
        let mut pairs = record.pairs.iter_mut();
        if let Some((_, value)) = pairs.find(|(key, _)| key == "peer") {
            *value = address;
        }
    }
}

fn habits(calm: bool) -> ScriptHabits {
    let list = |all: &[(u32, Habit)]| {
        let all = all.iter().map(|(weight, habit)| Weighted {
            weight: *weight,
            habit: habit.clone(),
        });
        all.collect::<Vec<Weighted>>()
    };
    let greets = Habit::Greets(Duration::from_millis(60));
    if calm {
        return ScriptHabits {
            connect: list(&[(1, greets)]),
            ..ScriptHabits::default()
        };
    }
    let some = [
        (40, Habit::Quick(0)),
        (10, Habit::Slow(Duration::from_secs(3), 0)),
        (4, Habit::Slow(Duration::from_secs(90), 0)),
        (6, Habit::Quick(3)),
        (3, Habit::Signal(11)),
        (2, Habit::Floods(1_500)),
        (2, Habit::ClosesOutput),
        (2, Habit::LeavesGrandchild(Duration::from_secs(20))),
        (1, Habit::NotStarted("no such file".to_owned())),
        // This does not fit into a line.
        (1, Habit::NotStarted("no such file, ".repeat(30))),
        (1, Habit::Slow(Duration::from_secs(1_200), 0)),
    ];
    // Three scripts of each peer that flood at once, after a restart of the server, would be more
    // lines than P13 allows: how many scripts write at once is not bounded.
    let is_quieter = |(_, habit): &&(u32, Habit)| !matches!(habit, Habit::Floods(_));
    let quieter: Vec<_> = some.iter().filter(is_quieter).cloned().collect();
    ScriptHabits {
        ifup: list(&some),
        ifdown: list(&some),
        connect: list(&[
            (20, greets),
            (3, Habit::Babbles),
            (3, Habit::Stays),
            (2, Habit::Quick(1)),
            (2, Habit::Deaf),
        ]),
        disconnect: list(&some),
        on_up: list(&quieter),
        on_down: list(&quieter),
    }
}
