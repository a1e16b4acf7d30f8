// SPDX-License-Identifier: GPL-3.0-or-later
//! The peers of a twin and what happens to them, drawn from a seed.

use tripe_lab::rng::Rng;

use super::history::{
    APART, BEGIN, Change, History, LONGEST_WAIT, RecordSite, SECOND, Stimulus, What,
};
#[cfg(doc)]
use super::tolerances::Tolerance;

/// What kinds of peers there are. The name says what is special about it.
const NAMES: [&str; 7] = [
    "by.connect",
    "by.knock",
    "static",
    "site.passive",
    "by.both",
    "-option",
    "unwatched",
];

/// The histories of this seed and those after it have more kinds of records, and greetings that
/// come late. Those before it are as they always were, since many are kept for what they show.
pub const WIDER_FROM: u64 = 100_000;

/// The history of a seed.
#[must_use]
pub fn history(seed: u64) -> History {
    let [mut draw, mut more, mut keys] = [1, 2, 3].map(|number| Rng::new(seed).fork(number));
    let mut records = records(seed, &mut draw);
    if seed >= WIDER_FROM {
        for record in &mut records {
            other_times(record, &mut keys);
            other_options(record, &mut keys);
        }
    }
    let users = records
        .iter()
        .filter(|record| record.peer == "site.passive");
    let users = users.map(|record| ("user".to_owned(), record.peer.clone()));
    let present = some(&records, &mut draw);
    let active = records
        .iter()
        .filter(|it| it.get("peer") != Some("PASSIVE"));
    let auto = active.filter(|_| draw.below(2) == 0);
    let auto = auto.map(|record| record.peer.clone()).collect();
    let mut history = History {
        seed,
        startup: draw.below(2) == 0,
        users: users.collect(),
        auto,
        present,
        records,
        stimuli: vec![Stimulus {
            at: BEGIN,
            what: What::Begin,
        }],
        until: 0,
    };
    let settle = settle(&history.records);
    let mut at = BEGIN + settle + APART;
    for _ in 0..15 + draw.below(16) {
        let what = what(&history, settle, &mut draw);
        let lasts = match &what {
            What::Dead(_, lasts) => *lasts,
            _ => 0,
        };
        history.stimuli.push(Stimulus { at, what });
        at += lasts + settle + APART;
    }
    history.until = at;
    for _ in 0..1 + more.below(3) {
        insert(&mut history, settle, &mut more);
    }
    history
}

/// Puts one more thing among those that happen. It is drawn from numbers of its own, so that the
/// others stay what they are. If the host is suspended, somebody asks for figures after that.
fn insert(history: &mut History, settle: u64, draw: &mut Rng) {
    let others = history.stimuli.len() as u64;
    let place = 1 + usize::try_from(draw.below(others)).unwrap_or_default();
    let what = match draw.below(4) {
        0 => What::Restarted,
        1 => What::ServerRestarted(some(&history.records, draw)),
        _ => {
            let which = draw.below(history.records.len() as u64);
            let record = &history.records[usize::try_from(which).unwrap_or_default()];
            let peer = record.peer.clone();
            let info = What::Command(vec!["info".to_owned(), peer.clone()]);
            put(history, place, info, settle);
            let pinged = (draw.below(2) == 0).then_some(peer);
            let longest = [60, 3_600, 100_000][usize::try_from(draw.below(3)).unwrap_or_default()];
            What::Suspended(pinged, (1 + draw.below(longest)) * SECOND)
        }
    };
    put(history, place, what, settle);
}

/// Puts something before what happens at this place, and leaves it the time that it needs.
fn put(history: &mut History, place: usize, what: What, settle: u64) {
    let later = history.stimuli.get(place);
    let at = later.map_or(history.until, |stimulus| stimulus.at);
    let lasts = match &what {
        What::Suspended(_, lasts) => *lasts + LONGEST_WAIT,
        _ => 0,
    };
    let delay = lasts + settle + APART;
    for stimulus in &mut history.stimuli[place..] {
        stimulus.at += delay;
    }
    history.until += delay;
    history.stimuli.insert(place, Stimulus { at, what });
}

/// Has some records say nothing about a time or a number, so that the default holds, and others say
/// it in another unit. A static peer always has `every`: the defaults of the two differ for it
/// (`default-of-every`).
fn other_times(record: &mut RecordSite, draw: &mut Rng) {
    let is_static = record.get("peer") != Some("PASSIVE")
        && record.get("connect").or(record.get("knock")).is_none();
    for (key, values) in [
        ("every", &["1m", "2m", "90"][..]),
        ("timeout", &["1m", "1", "7s"]),
        ("retries", &["2", "4", "6"]),
    ] {
        let (is_other, which) = (draw.below(4) == 0, draw.below(6));
        if !is_other {
            continue;
        }
        let value = usize::try_from(which).ok().and_then(|at| values.get(at));
        if value.is_none() && is_static && key == "every" {
            continue;
        }
        record.pairs.retain(|(known, _)| known != key);
        if let Some(value) = value {
            record.pairs.push((key.to_owned(), (*value).to_owned()));
        }
    }
    // Rarely, since all others are checked often meanwhile.
    let is_slow = draw.below(64) == 0;
    for (key, value) in &mut record.pairs {
        if key == "every" && is_slow {
            "1h".clone_into(value);
        }
        if key == "keepalive" {
            let which = usize::try_from(draw.below(4)).unwrap_or_default();
            *value = ["25s", "2m", "1h", "1d"][which].to_owned();
        }
    }
}

/// Has some records ask for other options of `ADD`, or for one that the server does not have.
fn other_options(record: &mut RecordSite, draw: &mut Rng) {
    for (key, values) in [
        ("cork", ["no", "on", "t"]),
        ("priv", ["other-key", "a key", "k3"]),
        ("tunnel", ["lab", "lab", "nowhere"]),
    ] {
        let (is_other, which) = (draw.below(6) == 0, draw.below(3));
        let which = usize::try_from(which).unwrap_or_default();
        if is_other {
            record.pairs.retain(|(known, _)| known != key);
            record
                .pairs
                .push((key.to_owned(), values[which].to_owned()));
        }
    }
}

/// How long it takes until product and manual have both come to rest, whatever their phase is
/// ([`Tolerance::NotAtRest`]).
fn settle(records: &[RecordSite]) -> u64 {
    let longest = records.iter().map(|record| {
        // The database may change it to up to 30 seconds.
        let every = record.every().max(30);
        let failing = u64::from(record.retries()) * record.timeout();
        (4 * every).max(failing) + every + failing + 5
    });
    longest.max().unwrap_or_default() * SECOND
}

/// Two to four peers.
fn records(seed: u64, draw: &mut Rng) -> Vec<RecordSite> {
    let mut names = NAMES.to_vec();
    let first = usize::try_from(seed % 7).unwrap_or_default();
    let mut chosen = vec![names.remove(first)];
    for _ in 0..1 + draw.below(3) {
        let place = draw.below(names.len() as u64);
        chosen.push(names.remove(usize::try_from(place).unwrap_or_default()));
    }
    let numbered = chosen.into_iter().zip(1..);
    numbered
        .map(|(name, address)| record(name, address, draw))
        .collect()
}

fn record(peer: &str, address: u8, draw: &mut Rng) -> RecordSite {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
    let suffix = if draw.below(2) == 0 { "" } else { "s" };
    put("every", format!("{}{suffix}", 10 + draw.below(51)));
    let suffix = if draw.below(2) == 0 { "" } else { "s" };
    put("timeout", format!("{}{suffix}", 2 + draw.below(4)));
    put("retries", (2 + draw.below(2)).to_string());
    if peer != "unwatched" {
        let yes = ["t", "true", "y", "yes", "on"];
        let which = usize::try_from(draw.below(5)).unwrap_or_default();
        put("watch", yes[which].to_owned());
    }
    let words = format!("INET 198.18.0.{address} 4070");
    let is_passive = peer == "site.passive";
    put(
        "peer",
        if is_passive {
            "PASSIVE".to_owned()
        } else {
            words
        },
    );
    if draw.below(4) > 0 {
        put("ifup", format!("up 'for {peer}' \"\""));
    }
    if draw.below(4) > 0 {
        put("ifdown", format!("down {peer}"));
    }
    if draw.below(2) == 0 {
        put("disconnect", format!("say-goodbye-to {peer}"));
    }
    if matches!(peer, "by.connect" | "by.both") {
        put("connect", format!("call {peer}"));
        put("cork", "t".to_owned());
    }
    if matches!(peer, "by.knock" | "by.both") {
        put("knock", "this.host".to_owned());
    }
    if is_passive {
        put("key", "passive".to_owned());
    }
    if draw.below(3) == 0 {
        put("mobile", "yes".to_owned());
        put("keepalive", "25s".to_owned());
    }
    if draw.below(4) == 0 {
        put("ephemeral", "on".to_owned());
    }
    if draw.below(3) == 0 {
        put("a - note", "two\nlines".to_owned());
    }
    RecordSite {
        peer: peer.to_owned(),
        pairs,
        address,
    }
}

/// Some of the peers, which somebody adds before the service is there.
fn some(records: &[RecordSite], draw: &mut Rng) -> Vec<String> {
    let some = records.iter().filter(|_| draw.below(2) == 0);
    some.map(|record| record.peer.clone()).collect()
}

/// One thing that happens.
fn what(history: &History, lasts: u64, draw: &mut Rng) -> What {
    let place = draw.below(history.records.len() as u64);
    let record = &history.records[usize::try_from(place).unwrap_or_default()];
    let peer = record.peer.clone();
    // What a change of the database does shows itself when the peer goes.
    let before = history.stimuli.last().map(|stimulus| &stimulus.what);
    if let Some(What::Database(Change::RemoveRecord(changed) | Change::Key(changed, "note", _))) =
        before
        && draw.below(2) == 0
    {
        return What::Kill(changed.clone());
    }
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    match draw.below(31) {
        0..=3 => What::Dead(peer, lasts),
        4..=6 => What::Add(peer),
        7 => What::Kill(peer),
        8 | 29 => What::KillAndAdd(peer),
        9 => What::AddAndKill(peer),
        10..=12 => What::Command(words(&format!("active {peer}"))),
        13 => What::Command(words(&format!("kick {peer}"))),
        14 => What::Command(words(&format!("info {peer}"))),
        15 => What::Command(words(&format!("sabotage {peer}"))),
        16 | 30 => {
            let commands = ["adopted", "list-active", "userpeer user", "userpeer nobody"];
            let others = [
                "help",
                "dance",
                "active",
                "active nobody",
                "info nobody",
                "kick nobody",
                "passive",
                "passive nobody",
                "passive -timeout soon user",
                "passive -timeout 3",
                "passive -other user",
                "adopted too",
            ];
            let all = [&commands[..], &others[..]].concat();
            let which = draw.below(all.len() as u64);
            What::Command(words(all[usize::try_from(which).unwrap_or_default()]))
        }
        17 => What::Cancelled(words(&format!("active {peer}")), 0),
        18 => What::Cancelled(words("passive user"), SECOND),
        19 => What::Passive(words("passive user"), Some(SECOND)),
        20 => match draw.below(if history.seed < WIDER_FROM { 2 } else { 4 }) {
            0 => What::Passive(words("passive -timeout 3 user"), None),
            1 => What::Passive(words("passive -timeout 1m user"), Some(31 * SECOND)),
            // These two come too late.
            2 => What::Passive(words("passive -timeout 3 user"), Some(5 * SECOND)),
            _ => What::Passive(words("passive user"), Some(31 * SECOND)),
        },
        21 | 22 => match draw.below(4) {
            0 => What::Knock("nobody.here".to_owned()),
            1 => What::Knock(peer),
            _ => What::Knock("site.passive".to_owned()),
        },
        23..=26 => What::Database(change(record, draw)),
        27 => What::RefusedAdd(words(&format!("active {peer}"))),
        _ => What::RefusedPings(peer, 1 + 3 * u32::from(draw.below(2) == 0)),
    }
}

fn change(record: &RecordSite, draw: &mut Rng) -> Change {
    let peer = record.peer.clone();
    match draw.below(12) {
        0 => Change::Key(peer, "watch", "nil".to_owned()),
        1 => Change::Key(peer, "watch", "t".to_owned()),
        2 => Change::Key(peer, "every", (10 + draw.below(20)).to_string()),
        3 => Change::Key(peer, "note", format!("number {}", draw.below(100))),
        4 => Change::Key(peer, "key", "other".to_owned()),
        5 => Change::Key(peer, "ifdown", "down otherwise".to_owned()),
        6 => Change::Key(peer, "ifup", "up otherwise".to_owned()),
        7 => Change::Key(peer, "connect", "call otherwise".to_owned()),
        8 => Change::Key(peer, "disconnect", "say otherwise".to_owned()),
        9 => Change::RemoveRecord(peer),
        10 => Change::Broken,
        _ => Change::Back,
    }
}
