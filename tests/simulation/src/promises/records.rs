// SPDX-License-Identifier: GPL-3.0-or-later
//! What the records of a host say, and may say at some time in a run: everything that the plan
//! has the database say.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connect_policy::resolving;
use peerdb::Database;
use tripe_admin::Interval;

use crate::instant::Instant;
use crate::plan::{
    DatabaseChange, Fault, Habit, HostId, HostSite, OTHER_SITE, Partner, Plan, RecordSite,
};

/// The times and numbers by which a peer is pinged, each the largest that a record may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Longest {
    /// Between two checks.
    pub(super) every: Duration,
    /// For one reply.
    pub(super) timeout: Duration,
    /// After a check that failed.
    pub(super) pause: Duration,
}

/// The times by which a peer is pinged, each the smallest that a record may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shortest {
    /// Between two checks.
    pub(super) every: Duration,
    /// For one reply.
    pub(super) timeout: Duration,
    /// After the first check that failed.
    first: Duration,
    /// After many.
    limit: Duration,
}

impl Shortest {
    /// The pause after so many failed checks in a row, of which up to a quarter may be left out.
    pub(super) fn pause(self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        (self.first * (1 << doublings)).min(self.limit) * 3 / 4
    }
}

/// The times and numbers of a peer, read from its records.
#[derive(Clone, Debug)]
struct Times {
    longest: Longest,
    shortest: Shortest,
    retries: BTreeSet<u32>,
}

/// What is known of a host before anything happens to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// All values of each key of each peer, the missing one included.
    values: BTreeMap<String, BTreeMap<String, BTreeSet<Option<String>>>>,
    /// The times of each peer, and those of a peer without a record. They are read once, since they
    /// are asked for with each ping.
    times: OnceCell<(BTreeMap<String, Times>, Times)>,
    /// The peers with a partner that the lab itself answers for.
    reflected: BTreeSet<String>,
    /// The peers that are hosts of the site, which have a record of this one.
    hosts: BTreeSet<String>,
    /// Whether the database may be that of another site.
    pub(super) may_be_foreign: bool,
    /// The users, and the peer of each: the database never says something else of one.
    pub(super) users: BTreeMap<String, String>,
    /// The peers that are added at start-up.
    pub(super) auto: Vec<String>,
    /// The peers whose record may be removed.
    removed: BTreeSet<String>,
    /// The peers with scripts that may not be startable.
    unstartable: BTreeSet<String>,
    /// When the site's database is put in place for the end.
    pub(super) quiet_from: Instant,
    /// Whether the service is started together with the server.
    pub(super) startup: bool,
    /// Whether there may be no database that can be read.
    pub(super) may_be_missing: bool,
    /// The commands that the server is made to refuse as malformed.
    pub(super) refused: BTreeSet<String>,
    /// Whether the script helper keeps a journal.
    pub(super) journal: bool,
    /// Whether core keeps its state.
    pub(super) keeps_state: bool,
}

impl Records {
    /// Those of a host in a plan.
    pub(super) fn of(plan: &Plan, host: HostId) -> Self {
        let mut records = Records {
            quiet_from: plan.quiet_from,
            ..Records::default()
        };
        if let Some(site) = plan.site.hosts.get(usize::from(host.0)) {
            records.site(site);
            let pairs = site.records.iter().filter(|record| {
                let other = counterpart(plan, host, record.partner);
                other.is_some_and(|other| !(other.is_passive() && record.is_passive()))
            });
            records.hosts = pairs.map(|record| record.peer.clone()).collect();
        }
        for timed in plan.faults.iter().filter(|timed| timed.host == host) {
            records.fault(&timed.fault);
        }
        records
    }

    /// Those of a database, and no others.
    pub(super) fn of_database(database: &Database) -> Self {
        let mut records = Records::default();
        for record in database.peers() {
            records.values.entry(record.name().to_owned()).or_default();
            for (key, value) in record.iter() {
                records.add(record.name(), key, Some(value.to_owned()));
            }
        }
        records
    }

    fn site(&mut self, site: &HostSite) {
        self.journal = site.journal;
        self.startup = site.startup;
        self.auto.clone_from(&site.auto);
        self.users = site.users.iter().cloned().collect();
        self.keeps_state = site.keeps_state;
        for record in &site.records {
            for (key, value) in &record.pairs {
                self.add(&record.peer, key, Some(value.clone()));
            }
            let habits = &record.scripts;
            let all = [
                &habits.ifup,
                &habits.ifdown,
                &habits.connect,
                &habits.disconnect,
                &habits.on_up,
                &habits.on_down,
            ];
            let mut all = all.into_iter().flatten();
            if all.any(|weighted| matches!(weighted.habit, Habit::NotStarted(_))) {
                self.unstartable.insert(record.peer.clone());
            }
            if let Partner::Reflected(_) = record.partner {
                self.reflected.insert(record.peer.clone());
            }
        }
    }

    fn fault(&mut self, fault: &Fault) {
        match fault {
            Fault::Database { change } => match change {
                DatabaseChange::Record { peer, key, value } => {
                    self.may_say(peer, key, value.clone());
                }
                DatabaseChange::Unwatched(peer, _) => self.may_say(peer, "watch", None),
                DatabaseChange::New(_) => self.may_be_foreign = true,
                DatabaseChange::OfOtherSite => self.other_site(),
                DatabaseChange::Removed(peer) => {
                    self.removed.insert(peer.clone());
                }
                DatabaseChange::Broken | DatabaseChange::Missing => self.may_be_missing = true,
                DatabaseChange::Back => {}
            },
            Fault::Refuse { command, code, .. } if is_malformed(code) => {
                self.refused.insert(command.to_uppercase());
            }
            _ => {}
        }
    }

    /// The database may be that of another site, whose records lack most keys of ours.
    fn other_site(&mut self) {
        self.may_be_foreign = true;
        for (peer, pairs) in OTHER_SITE {
            let known = self.values.entry(peer.to_owned()).or_default();
            for values in known.values_mut() {
                values.insert(None);
            }
            for (key, value) in pairs {
                self.may_say(peer, key, Some((*value).to_owned()));
            }
        }
    }

    /// A record may say this at some time, or what the site's says.
    fn may_say(&mut self, peer: &str, key: &str, value: Option<String>) {
        let keys = self.values.entry(peer.to_owned()).or_default();
        // A key that the site's record lacks is not there before.
        let values = keys
            .entry(key.to_owned())
            .or_insert_with(|| BTreeSet::from([None]));
        values.insert(value);
    }

    fn add(&mut self, peer: &str, key: &str, value: Option<String>) {
        let keys = self.values.entry(peer.to_owned()).or_default();
        keys.entry(key.to_owned()).or_default().insert(value);
    }

    /// Whether the lab itself answers for this peer: it agrees on no keys, so it does not answer
    /// `EPING`.
    pub(super) fn is_reflected(&self, peer: &str) -> bool {
        self.is_lab(peer) && !self.said(peer, "ping").contains(&Some("encrypted"))
    }

    /// Whether the lab itself is the partner of this peer.
    pub(super) fn is_lab(&self, peer: &str) -> bool {
        self.reflected.contains(peer)
    }

    /// Whether this peer is another host of the site that has a record of this one, and one of the
    /// two makes the connection.
    pub(super) fn is_host(&self, peer: &str) -> bool {
        self.hosts.contains(peer)
    }

    /// Whether this peer has always had these scripts, whatever the database was.
    pub(super) fn always_has(&self, peer: &str, keys: [&str; 2]) -> bool {
        let is_certain = !self.may_be_foreign
            && !self.removed.contains(peer)
            && (self.keeps_state || !self.may_be_missing);
        let is_fixed = |key: &str| matches!(self.said(peer, key).as_slice(), [Some(_)]);
        is_certain && keys.into_iter().all(is_fixed)
    }

    /// The value of this key in every record of a peer, if it has the same in all.
    pub(super) fn fixed(&self, peer: &str, key: &str) -> Option<&str> {
        let is_certain = !self.may_be_foreign && !self.removed.contains(peer);
        match self.said(peer, key).as_slice() {
            // The address of a partner is put in its place.
            [Some("*")] => None,
            [Some(value)] if is_certain => Some(value),
            _ => None,
        }
    }

    /// The keys that records of a peer have, each with its value if it is the same in all.
    pub(super) fn keys(&self, peer: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
        let keys = self.values.get(peer).into_iter().flatten();
        keys.map(move |(key, _)| (key.as_str(), self.fixed(peer, key)))
    }

    /// The peers that have a record.
    pub(super) fn peers(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Whether the record of this peer has it looked up by its host name.
    pub(super) fn is_followed(&self, peer: &str) -> bool {
        !self.said(peer, resolving::KEY).contains(&None)
    }

    /// Whether this peer is to be added again whenever it was removed for its silence.
    pub(super) fn comes_back(&self, peer: &str) -> bool {
        self.auto.iter().any(|name| name == peer) && self.said(peer, "when-dead") == [Some("retry")]
    }

    /// The same, if it may be so at some time.
    pub(super) fn may_come_back(&self, peer: &str) -> bool {
        self.auto.iter().any(|name| name == peer)
            && self.said(peer, "when-dead").contains(&Some("retry"))
    }

    /// Whether the server may remove this peer when its other host ends the connection.
    pub(super) fn may_leave(&self, peer: &str) -> bool {
        let is_mobile = self.said(peer, "mobile").contains(&Some("t"));
        is_mobile || self.said(peer, "knock") != [None]
    }

    /// Whether scripts of this peer may not be startable.
    pub(super) fn may_not_start(&self, peer: &str) -> bool {
        self.unstartable.contains(peer)
    }

    /// How many attempts a check of this peer may have: every number that a record says.
    pub(super) fn retries(&self, peer: &str) -> &BTreeSet<u32> {
        &self.times(peer).retries
    }

    /// The shortest times of a peer.
    pub(super) fn shortest(&self, peer: &str) -> Shortest {
        self.times(peer).shortest
    }

    /// The longest times of a peer.
    pub(super) fn longest(&self, peer: &str) -> Longest {
        self.times(peer).longest
    }

    fn times(&self, peer: &str) -> &Times {
        let (all, others) = self.times.get_or_init(|| {
            let read = |peer: &str| Times {
                longest: self.read_longest(peer),
                shortest: self.read_shortest(peer),
                retries: self.read_retries(peer),
            };
            let peers = self.values.keys();
            let all = peers.map(|peer| (peer.clone(), read(peer)));
            (all.collect(), read(""))
        });
        all.get(peer).unwrap_or(others)
    }

    fn read_retries(&self, peer: &str) -> BTreeSet<u32> {
        let said = self.said(peer, "retries");
        let number = |value: Option<&str>| value.and_then(|value| value.parse().ok());
        said.into_iter()
            .map(|value| {
                number(value)
                    .filter(|n| (1..=1000).contains(n))
                    .unwrap_or(5)
            })
            .collect()
    }

    /// All values of a key, and `None` if some record may lack it.
    fn said(&self, peer: &str, key: &str) -> Vec<Option<&str>> {
        let values = self.values.get(peer).and_then(|keys| keys.get(key));
        let values = values.into_iter().flatten().map(Option::as_deref);
        // A record that is removed and comes back, or a value that goes, leaves the default.
        let mut values: Vec<Option<&str>> = values.collect();
        if values.is_empty() {
            values.push(None);
        }
        values
    }

    /// All lengths that a time in the record of a peer may have, in seconds.
    fn seconds(&self, peer: &str, key: &str, default: u64) -> impl Iterator<Item = u64> {
        let said = self.said(peer, key).into_iter();
        said.map(move |value| {
            let interval = value.and_then(|value| value.parse::<Interval>().ok());
            interval.map_or(default, |it| u64::from(it.seconds()).max(1))
        })
    }

    fn read_shortest(&self, peer: &str) -> Shortest {
        let shortest = |key: &str, default: u64| {
            let seconds = self.seconds(peer, key, default);
            Duration::from_secs(seconds.min().unwrap_or(default))
        };
        // Dynamic peers have a shorter default than others.
        let is_never = |key: &str| self.said(peer, key) == [None];
        let is_static = is_never("connect") && is_never("knock");
        let every = shortest("every", if is_static { 120 } else { 30 });
        let first = shortest("backoff", every.as_secs());
        let limit = shortest("backoff-max", every.max(first).as_secs() * 4);
        Shortest {
            every,
            timeout: shortest("timeout", 10),
            first,
            limit: limit.max(first),
        }
    }

    fn read_longest(&self, peer: &str) -> Longest {
        let longest = |key: &str, default: u64| {
            let seconds = self.seconds(peer, key, default);
            seconds.max().unwrap_or(default)
        };
        // Passive peers have the longest default.
        let every = longest("every", 300);
        let first = longest("backoff", every);
        let pause = longest("backoff-max", every.max(first) * 4).max(first);
        Longest {
            every: Duration::from_secs(every),
            timeout: Duration::from_secs(longest("timeout", 10)),
            pause: Duration::from_secs(pause),
        }
    }
}

/// The record that the host at the other end has of this one.
fn counterpart(plan: &Plan, host: HostId, partner: Partner) -> Option<&RecordSite> {
    let Partner::Host(other) = partner else {
        return None;
    };
    let other = plan.site.hosts.get(usize::from(other.0))?;
    let mut records = other.records.iter();
    records.find(|record| record.partner == Partner::Host(host))
}

/// Whether a failure says that the service has sent what makes no sense.
pub(super) fn is_malformed(code: &str) -> bool {
    matches!(
        code.split(' ').next(),
        Some("bad-syntax" | "unknown-command")
    )
}
