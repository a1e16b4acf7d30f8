// SPDX-License-Identifier: GPL-3.0-or-later
//! What happens in a twin: the peers, their partners, their scripts, and what others do. All of it
//! is a function of time only, so that it is the same for the product and for the manual.

use connect_ipc::scripts::{ScriptKind, Stream};
use peerdb::Database;
use peerdb::Record;
use tripe_admin::Interval;
use tripe_lab::rng::{Rng, checksum};

use super::sites::WIDER_FROM;
use super::transcript::Place;

/// A second.
pub const SECOND: u64 = 1_000_000_000;

/// A millisecond.
const MILLISECOND: u64 = 1_000_000;

/// By how much more than whole seconds events are apart, so that none comes at the very instant at
/// which a check that counts from an earlier event begins or ends. Replies take whole milliseconds,
/// and this does not.
pub(super) const APART: u64 = 137_000_300;

/// When a history begins: so long before a whole second that the first event, which is at least
/// `APART` later, can come right after one.
pub const BEGIN: u64 = 20 * SECOND - 137 * MILLISECOND;

/// How long the host waits for a ping before it is suspended. Most peers are pinged within this
/// time.
pub const LONGEST_WAIT: u64 = 61 * SECOND;

/// Everything that happens.
#[derive(Clone, Debug)]
pub struct History {
    /// What it follows from.
    pub seed: u64,
    /// Whether the service is started with the server.
    pub startup: bool,
    /// The records of the database at the beginning.
    pub records: Vec<RecordSite>,
    /// Users, and the peers that they are.
    pub users: Vec<(String, String)>,
    /// The peers of `%AUTO`.
    pub auto: Vec<String>,
    /// The peers that the server has before the service is there.
    pub present: Vec<String>,
    /// What others do, in the order of time.
    pub stimuli: Vec<Stimulus>,
    /// When it is over.
    pub until: u64,
}

/// One record.
#[derive(Clone, Debug)]
pub struct RecordSite {
    /// The peer's name.
    pub peer: String,
    /// Keys and values.
    pub pairs: Vec<(String, String)>,
    /// The last part of the partner's address.
    pub address: u8,
}

/// Something that others do.
#[derive(Clone, Debug)]
pub struct Stimulus {
    /// When.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What others do.
#[derive(Clone, Debug)]
pub enum What {
    /// The service is started.
    Begin,
    /// The service is ended and started again, with the same options and a database that can be
    /// read.
    Restarted,
    /// The server ends, and the service with it, as the original does; then both are started again,
    /// after somebody has added these peers. The product can also go on and wait for a server
    /// (`Tolerance::LostServer`).
    ServerRestarted(Vec<String>),
    /// The host is suspended for so long: the server, the service and its children stand still, and
    /// what partners answer meanwhile is lost. The clock of the service stands, and the timers of
    /// the server go on. If a peer is named, this begins while a ping of the peer is under way, or
    /// after [`LONGEST_WAIT`] if there is none until then.
    Suspended(Option<String>, u64),
    /// The partner of a peer is dead for so long.
    Dead(String, u64),
    /// Somebody adds a peer.
    Add(String),
    /// Somebody removes a peer.
    Kill(String),
    /// Somebody removes a peer and adds it again at once.
    KillAndAdd(String),
    /// Somebody adds a peer and removes it at once.
    AddAndKill(String),
    /// Somebody submits a command.
    Command(Vec<String>),
    /// Somebody submits a command, and cancels it after so long.
    Cancelled(Vec<String>, u64),
    /// Somebody submits `passive` with these words, and the peer greets after so long, if it does.
    Passive(Vec<String>, Option<u64>),
    /// A knock comes from a peer of this name.
    Knock(String),
    /// The database changes.
    Database(Change),
    /// The server refuses so many pings of a peer, but none after the next stimulus.
    RefusedPings(String, u32),
    /// Somebody submits a command, and the server refuses the `ADD` that comes of it, if one does.
    RefusedAdd(Vec<String>),
}

/// How the database changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// A key of a peer gets another value.
    Key(String, &'static str, String),
    /// A record is removed.
    RemoveRecord(String),
    /// The file cannot be read.
    Broken,
    /// The file is as it was at the beginning.
    Back,
}

/// What a script does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Habit {
    /// It ends at once with this status.
    Ends(i32),
    /// It ends after so many seconds with this status.
    Slow(u64, i32),
    /// This signal ends it.
    Signal(i32),
    /// It ends at once, in a way that the system does not tell.
    Unknown,
    /// It writes a line and ends well.
    Says(Stream, String),
    /// It writes a line and stays until it gets `TERM`.
    Stays(String),
}

/// What a challenge of another server looks like.
pub const CHALLENGE: &str = "AAAABG9ubHkgYSBwcmV0ZW5jZSBvZiBh";

impl History {
    /// The database at the beginning, with the changes up to that stimulus.
    pub(crate) fn database(&self, stimulus: usize) -> Database {
        let records = self.records_after(stimulus);
        let records = records.iter().map(RecordSite::record);
        Database::from_parts(records, self.users.iter().cloned(), self.auto.clone())
    }

    /// The records at the beginning, with the changes up to that stimulus.
    pub(crate) fn records_after(&self, stimulus: usize) -> Vec<RecordSite> {
        let mut records = self.records.clone();
        for Stimulus { what, .. } in &self.stimuli[..=stimulus] {
            let What::Database(change) = what else {
                continue;
            };
            match change {
                Change::Key(peer, key, value) => {
                    for record in records.iter_mut().filter(|record| record.peer == *peer) {
                        record.pairs.retain(|(known, _)| known != key);
                        record.pairs.push(((*key).to_owned(), value.clone()));
                    }
                }
                Change::RemoveRecord(peer) => records.retain(|record| record.peer != *peer),
                Change::Broken => {}
                Change::Back => records.clone_from(&self.records),
            }
        }
        records
    }

    /// The command that is submitted with a stimulus, if one is.
    pub(crate) fn command(&self, stimulus: usize) -> &[String] {
        match &self.stimuli[stimulus].what {
            What::Command(words)
            | What::Cancelled(words, _)
            | What::Passive(words, _)
            | What::RefusedAdd(words) => words,
            _ => &[],
        }
    }

    /// Which peer something at this place is about: that of the place, or that of the command.
    pub(crate) fn subject(&self, place: &Place) -> String {
        let words = self.command(place.stimulus);
        let user = self
            .users
            .iter()
            .find(|(user, _)| words.last() == Some(user));
        let named = user.map(|(_, peer)| peer).or(words.get(1));
        match (place.peer.as_str(), named) {
            ("", Some(named)) => named.clone(),
            (peer, _) => peer.to_owned(),
        }
    }

    /// The record of a peer at the beginning.
    #[must_use]
    pub fn record(&self, peer: &str) -> Option<&RecordSite> {
        self.records.iter().find(|record| record.peer == peer)
    }

    /// What a script does that is started after that stimulus. It follows from the millisecond of
    /// the stimulus, so that others can be left out.
    pub(crate) fn habit(&self, peer: &str, kind: ScriptKind, stimulus: usize) -> Habit {
        let at = self.stimuli[stimulus].at / MILLISECOND * MILLISECOND;
        let key = format!("{peer} {} {at}", kind.name());
        let mut draw = Rng::new(checksum(self.seed, key.as_bytes()));
        let says = |stream, line: &str| Habit::Says(stream, line.to_owned());
        if kind == ScriptKind::Connect {
            return match draw.below(8) {
                0 => Habit::Ends(0),
                1 => Habit::Ends(4),
                2 => says(Stream::Stdout, "this is no challenge"),
                3 => says(Stream::Stderr, "cannot connect"),
                4 | 5 => says(Stream::Stdout, CHALLENGE),
                _ => Habit::Stays(CHALLENGE.to_owned()),
            };
        }
        match draw.below(if self.seed < WIDER_FROM { 13 } else { 14 }) {
            13 => Habit::Unknown,
            0 => Habit::Ends(3),
            1 => Habit::Signal(9),
            2 => says(Stream::Stdout, "hello 'there'"),
            3 => says(Stream::Stderr, "oh dear"),
            4 => says(Stream::Stdout, &"long ".repeat(80)),
            5 => says(Stream::Stdout, CHALLENGE),
            6 | 7 => Habit::Slow(2, 3),
            8 => Habit::Slow(2, 0),
            _ => Habit::Ends(0),
        }
    }
}

impl RecordSite {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        let found = pairs.find(|(known, _)| known == key)?;
        Some(&found.1)
    }

    /// The record as the database has it.
    pub(crate) fn record(&self) -> Record {
        let pairs = self.pairs.iter().map(|(key, value)| (key, value));
        Record::new(&self.peer, pairs)
    }

    /// The time between two checks in seconds, as connect(8) says.
    pub(crate) fn every(&self) -> u64 {
        let is_dynamic = self.get("connect").or(self.get("knock")).is_some();
        let default = match (is_dynamic, self.get("peer")) {
            (true, _) => 30,
            (false, Some("PASSIVE")) => 300,
            _ => 120,
        };
        self.seconds("every", default)
    }

    /// The time for a reply in seconds, as connect(8) says.
    pub(crate) fn timeout(&self) -> u64 {
        self.seconds("timeout", 10)
    }

    fn seconds(&self, key: &str, default: u64) -> u64 {
        let interval = self.get(key).and_then(|text| text.parse::<Interval>().ok());
        interval.map_or(default, |interval| u64::from(interval.seconds()).max(1))
    }

    /// How many attempts a check has, as connect(8) says.
    pub(crate) fn retries(&self) -> u32 {
        let retries = self.get("retries").and_then(|text| text.parse().ok());
        retries.unwrap_or(5)
    }

    /// The partner's address, as words.
    pub(crate) fn words(&self) -> [String; 3] {
        let address = format!("198.18.0.{}", self.address);
        ["INET".to_owned(), address, "4070".to_owned()]
    }
}
