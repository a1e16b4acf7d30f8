// SPDX-License-Identifier: GPL-3.0-or-later
//! Makes the transcript of a twin from the lines between the service and its server.

use std::collections::BTreeMap;

use connect_ipc::scripts::ScriptKind;
use tripe_admin::{Interval, split};

use super::figures::Figures;
use super::provider::Start;
use super::tolerances::{Tolerance, Tolerances};
use super::transcript::{CheckEnd, Item, Place, Sequence, Transcript};
use crate::world;

/// Makes the transcript.
pub(crate) struct Recorder<'a> {
    pub(crate) tolerances: &'a Tolerances,
    pub(crate) transcript: Transcript,
    /// The stimulus after which everything comes now.
    stimulus: usize,
    now: u64,
    /// The pings under way: to which peers, by their tags.
    pings: BTreeMap<String, String>,
    /// The latest check of each peer.
    checks: BTreeMap<String, Check>,
    /// The interface of each peer. Which it is depends on all that happened before.
    pub(crate) interfaces: BTreeMap<String, String>,
    /// How long after a reply each peer may wait for its next check.
    pub(crate) every: BTreeMap<String, u64>,
    /// How many seconds each peer has for a reply.
    pub(crate) timeouts: BTreeMap<String, u64>,
    /// What `info` should say of each peer.
    pub(crate) figures: BTreeMap<String, Figures>,
}

/// [`Tolerance::Questions`]: what the service asks the server, and how it joins and leaves it.
const QUESTIONS: [&str; 9] = [
    "SVCRELEASE",
    "WATCH",
    "SVCQUERY",
    "SVCCLAIM",
    "LIST",
    "IFNAME",
    "ADDR",
    "ALGS",
    "GETCHAL",
];

/// A check.
struct Check {
    /// Where its item is.
    place: Place,
    index: usize,
    attempts: u32,
    last: Last,
    /// When the last ping was sent, and how long it may take.
    sent: u64,
    timeout: u64,
    /// When the last ping ended.
    ended: u64,
    told: Vec<String>,
}

/// What happened to the last ping of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Last {
    Pending,
    Reply,
    Timeout,
    Exhausted,
    Died,
    Refused,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(tolerances: &'a Tolerances) -> Self {
        Recorder {
            tolerances,
            transcript: Transcript::default(),
            stimulus: 0,
            now: 0,
            pings: BTreeMap::new(),
            checks: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            every: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            figures: BTreeMap::new(),
        }
    }

    /// From now on everything comes after this stimulus.
    pub(crate) fn stimulus(&mut self, stimulus: usize) {
        self.stimulus = stimulus;
    }

    /// The stimulus after which everything comes now.
    pub(crate) const fn now_after(&self) -> usize {
        self.stimulus
    }

    pub(crate) fn time(&mut self, now: u64) {
        self.now = now;
    }

    fn put(&mut self, peer: &str, sequence: Sequence, item: Item) {
        let place = self.place(peer, sequence);
        self.transcript
            .sequences
            .entry(place)
            .or_default()
            .push(item);
    }

    fn place(&self, peer: &str, sequence: Sequence) -> Place {
        Place {
            stimulus: self.stimulus,
            peer: peer.to_owned(),
            sequence,
        }
    }

    /// The service sent this line.
    pub(crate) fn wrote(&mut self, line: &str) {
        if line.len() > 255 {
            let fault = format!("a line of {} bytes: {line}", line.len());
            self.transcript.faults.push(fault);
        }
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["PING", "-background", tag, "-timeout", timeout, .., peer] => {
                self.ping(peer, tag, timeout);
            }
            ["ADD", "-background", tag, rest @ ..] => self.add(tag, rest),
            ["KILL" | "FORCEKX", .., peer] => {
                self.put(peer, Sequence::Main, Item::Command(words.join(" ")));
            }
            ["GREET", .., peer, _] => {
                self.put(peer, Sequence::Connection, Item::Command(words.join(" ")));
            }
            // Whether a ping is under way when its peer is disowned depends on the phase.
            ["BGCANCEL", tag]
                if self.pings.contains_key(*tag)
                    && self.tolerances.leave_out(Tolerance::CutChecks) => {}
            // What comes of these is recorded.
            ["NOTIFY" | "WARN" | "SVCINFO" | "SVCOK" | "SVCFAIL", ..] => {}
            [word, ..]
                if QUESTIONS.contains(word) && self.tolerances.leave_out(Tolerance::Questions) => {}
            _ => self.put("", Sequence::Main, Item::Command(words.join(" "))),
        }
    }

    fn add(&mut self, tag: &str, words: &[&str]) {
        let (mut options, mut rest) = (Vec::new(), words);
        loop {
            rest = match rest {
                [flag @ ("-cork" | "-mobile" | "-ephemeral"), tail @ ..] => {
                    options.push((*flag).to_owned());
                    tail
                }
                [option, value, tail @ ..] if option.starts_with('-') && *option != "--" => {
                    // A name that looks like an option is followed by an address.
                    if ["INET", "INET6", "ANY"].contains(value) {
                        break;
                    }
                    options.push(format!("{option} {value}"));
                    tail
                }
                _ => break,
            };
        }
        if !options.is_sorted() && self.tolerances.leave_out(Tolerance::OrderOfOptions) {
            options.sort();
        }
        let tag = match self.tolerances.leave_out(Tolerance::Tags) {
            true => String::new(),
            false => format!("{tag} "),
        };
        let peer = rest.iter().find(|word| **word != "--").copied();
        let line = format!("ADD {tag}{} {}", options.join(" "), rest.join(" "));
        self.put(
            peer.unwrap_or_default(),
            Sequence::Main,
            Item::Command(line),
        );
    }

    fn ping(&mut self, peer: &str, tag: &str, timeout: &str) {
        self.pings.insert(tag.to_owned(), peer.to_owned());
        self.figures.entry(peer.to_owned()).or_default().begin();
        let timeout = timeout
            .parse()
            .map_or(0, |it: Interval| u64::from(it.seconds()));
        if self.timeouts.get(peer).is_some_and(|said| *said != timeout) {
            let fault = format!("a ping to {peer} is to be answered within {timeout} s");
            self.transcript.faults.push(fault);
        }
        let timeout = timeout * 1_000_000_000;
        let now = self.now;
        match self.checks.get_mut(peer) {
            Some(check) if check.last == Last::Timeout => {
                let late = now.saturating_sub(check.ended);
                if self.tolerances.is_late(late) {
                    let fault = format!("{peer} was tried again {late} ns after a timeout");
                    self.transcript.faults.push(fault);
                }
                check.attempts += 1;
                check.last = Last::Pending;
                (check.sent, check.timeout) = (now, timeout);
            }
            previous => {
                let answered = previous.filter(|check| check.last == Last::Reply);
                let pause = answered.map_or(0, |check| now.saturating_sub(check.ended));
                let every = self.every.get(peer).copied().unwrap_or(u64::MAX);
                if self.tolerances.is_late(pause.saturating_sub(every)) {
                    let fault = format!("{peer} was checked {pause} ns after a reply");
                    self.transcript.faults.push(fault);
                }
                self.finish(peer);
                let place = self.place(peer, Sequence::Main);
                let items = self.transcript.sequences.entry(place.clone()).or_default();
                // What happens to it is put in this place later.
                items.push(Item::Times(0));
                let check = Check {
                    index: items.len() - 1,
                    place,
                    attempts: 1,
                    last: Last::Pending,
                    sent: now,
                    timeout,
                    ended: now,
                    told: Vec::new(),
                };
                self.checks.insert(peer.to_owned(), check);
                self.figures.entry(peer.to_owned()).or_default().new_check();
            }
        }
    }

    /// The host was suspended. The product does not count the pings that were under way, and sends
    /// them again: that is the difference `suspended-server`.
    pub(crate) fn slept(&mut self, which: world::Provider) {
        if which == world::Provider::Product {
            for peer in std::mem::take(&mut self.pings).into_values() {
                self.figures.entry(peer).or_default().nothing();
            }
        }
    }

    /// The service has ended, and nobody hears of what it has asked.
    pub(crate) fn ended(&mut self) {
        self.pings.clear();
        let peers: Vec<String> = self.checks.keys().cloned().collect();
        for peer in peers {
            self.finish(&peer);
        }
        self.figures.clear();
    }

    /// The service was sent this line by the server.
    pub(crate) fn heard(&mut self, line: &str) {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["BGINFO", tag, "ping-ok", time] => {
                let time = time.parse().unwrap_or_default();
                self.result(tag, Last::Reply, Some(time));
            }
            ["BGINFO", tag, "ping-timeout"] => self.result(tag, Last::Timeout, None),
            ["BGINFO", tag, "ping-peer-died"] => self.result(tag, Last::Died, None),
            ["BGFAIL", tag, ..] => self.result(tag, Last::Refused, None),
            ["NOTE", "KILL", peer] => self.disowned(peer),
            _ => {}
        }
    }

    fn result(&mut self, tag: &str, last: Last, time: Option<f64>) {
        let Some(peer) = self.pings.remove(tag) else {
            return;
        };
        let figures = self.figures.entry(peer.clone()).or_default();
        match (last, time) {
            (Last::Reply, Some(time)) => figures.reply(time),
            (Last::Timeout, _) => figures.timeout(),
            _ => figures.nothing(),
        }
        if let Some(check) = self.checks.get_mut(&peer) {
            check.last = last;
            check.ended = self.now;
            let late = self.now.saturating_sub(check.sent + check.timeout);
            if last == Last::Timeout && late > 0 {
                let fault = format!("a ping to {peer} took {late} ns longer than its timeout");
                self.transcript.faults.push(fault);
            }
        }
    }

    /// Everybody was told this line.
    pub(crate) fn told(&mut self, line: &str) {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["NOTE" | "WARN", "USER", "connect", rest @ ..] => self.told_by_service(line, rest),
            ["NOTE", "KILL", peer] => self.disowned(peer),
            _ => {}
        }
    }

    /// A peer is not pinged any more.
    pub(crate) fn disowned(&mut self, peer: &str) {
        self.finish(peer);
        self.figures.remove(peer);
    }

    fn told_by_service(&mut self, line: &str, words: &[&str]) {
        let item = Item::Told(line.to_owned());
        if let ["ping-timeout" | "ping-ok" | "ping-failed", peer, ..] = words {
            self.begins_to_tell(peer);
        }
        match words {
            ["ping-timeout", peer, "attempt", attempt, "of", of] => {
                self.figures
                    .entry((*peer).to_owned())
                    .or_default()
                    .told_timeout();
                if let Some(check) = self.checks.get_mut(*peer) {
                    let is_last = attempt == of;
                    check.last = if is_last {
                        Last::Exhausted
                    } else {
                        Last::Timeout
                    };
                    check.told.push(line.to_owned());
                } else {
                    self.put(peer, Sequence::Main, item);
                }
            }
            ["ping-ok" | "ping-failed" | "reconnecting", peer, ..] => {
                match self.checks.get_mut(*peer) {
                    Some(check) => check.told.push(line.to_owned()),
                    None => self.put(peer, Sequence::Main, item),
                }
            }
            ["ifup" | "ifdown" | "on-up" | "on-down", peer, ..] => {
                self.put(peer, Sequence::Interface, item);
            }
            ["connect" | "disconnect", peer, ..] => self.put(peer, Sequence::Connection, item),
            ["knock-tag-mismatch", "peer", peer, ..]
            | [
                "knock-unknown-peer" | "knock-active-peer" | "knock-add-failed" | "auto-add-failed",
                peer,
                ..,
            ] => self.put(peer, Sequence::Main, item),
            _ => self.put("", Sequence::Main, item),
        }
    }

    /// Something is told of a check of this peer. If it is the first, the check belongs after the
    /// present stimulus, since what came before had no effect on it.
    fn begins_to_tell(&mut self, peer: &str) {
        let (place, tolerances) = (self.place(peer, Sequence::Main), self.tolerances);
        let check = self.checks.get_mut(peer);
        let check = check.filter(|it| it.told.is_empty() && it.place != place);
        if let Some(check) = check
            && tolerances.leave_out(Tolerance::BeginOfChecks)
        {
            let items = self.transcript.sequences.entry(place.clone()).or_default();
            items.push(Item::Times(0));
            (check.place, check.index) = (place, items.len() - 1);
        }
    }

    /// The service starts a script.
    pub(crate) fn script(&mut self, start: &Start) {
        // The number of the run is the difference `number-of-the-run`.
        let variables = start.environment.iter();
        let mut environment: Vec<(String, String)> = variables
            .filter(|(name, _)| name != "TRIPE_CONNECT_RUN")
            .cloned()
            .collect();
        environment.sort();
        let item = Item::Script {
            kind: start.kind,
            argv: self.without_interface(start),
            environment,
        };
        self.put(&start.peer, sequence(start.kind), item);
    }

    /// The arguments of a script, with a placeholder for the peer's interface.
    fn without_interface(&self, start: &Start) -> Vec<String> {
        let interface = self.interfaces.get(&start.peer);
        let words = start.argv.iter().map(|word| match interface {
            Some(interface)
                if interface == word && self.tolerances.leave_out(Tolerance::Interfaces) =>
            {
                "<interface>".to_owned()
            }
            _ => word.clone(),
        });
        words.collect()
    }

    /// The service ends a script.
    pub(crate) fn stopped(&mut self, kind: ScriptKind, peer: &str) {
        self.put(peer, sequence(kind), Item::Stopped(kind));
    }

    /// A command that was submitted after this stimulus was answered.
    pub(crate) fn answer(&mut self, stimulus: usize, item: Item) {
        let place = Place {
            stimulus,
            peer: String::new(),
            sequence: Sequence::Jobs,
        };
        self.transcript
            .sequences
            .entry(place)
            .or_default()
            .push(item);
    }

    /// The check of a peer, if there is one, is over.
    fn finish(&mut self, peer: &str) {
        let Some(check) = self.checks.remove(peer) else {
            return;
        };
        let ended = match check.last {
            Last::Reply => CheckEnd::Reply,
            Last::Exhausted => CheckEnd::Unreachable,
            Last::Pending | Last::Died => CheckEnd::PeerGone,
            Last::Refused => CheckEnd::Refused,
            Last::Timeout => CheckEnd::GivenUp,
        };
        let key = (check.place.peer.clone(), check.place.stimulus);
        if check.told.is_empty() && ended == CheckEnd::Reply {
            *self.transcript.answered.entry(key).or_default() += 1;
            return;
        }
        if ended == CheckEnd::Unreachable {
            *self.transcript.unreachable.entry(key).or_default() += 1;
        }
        let items = self.transcript.sequences.entry(check.place).or_default();
        if let Some(item) = items.get_mut(check.index) {
            *item = Item::Check {
                attempts: check.attempts,
                ended,
                told: check.told,
            };
        }
    }

    /// The transcript of a history that is over.
    pub(crate) fn end(mut self) -> Transcript {
        self.ended();
        for items in self.transcript.sequences.values_mut() {
            items.retain(|item| match item {
                Item::Times(_) => false,
                Item::Check {
                    attempts: 1,
                    ended: CheckEnd::PeerGone | CheckEnd::Refused,
                    told,
                } if told.is_empty() => !self.tolerances.leave_out(Tolerance::CutChecks),
                _ => true,
            });
        }
        self.transcript
            .sequences
            .retain(|_, items| !items.is_empty());
        self.transcript
    }
}

/// The sequence of a script.
fn sequence(kind: ScriptKind) -> Sequence {
    match kind {
        ScriptKind::Ifup | ScriptKind::Ifdown | ScriptKind::OnUp | ScriptKind::OnDown => {
            Sequence::Interface
        }
        ScriptKind::Connect | ScriptKind::Disconnect => Sequence::Connection,
    }
}
