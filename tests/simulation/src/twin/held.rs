// SPDX-License-Identifier: GPL-3.0-or-later
//! Holds a twin against those promises of the simulation that can be seen on its one connection.

use std::time::Duration;

use tripe_lab::server::ClientId;

use super::history::History;
use super::tolerances::Tolerances;
use super::transcript::Present;
use crate::instant::Instant;
use crate::plan::{
    Fault, HostId, HostSite, Partner, Plan, RecordSite, ScriptHabits, Site, Switching,
};
use crate::promises::Promises;
use crate::seen::{Seen, Watcher, Who};
use crate::world::Provider;

/// The only host.
const HOST: HostId = HostId(0);

/// How many broken promises are told: one is enough to know that something is wrong.
const TOLD: usize = 3;

/// Holds one of the two against them.
pub(crate) struct Held<'a> {
    promises: Promises,
    client: ClientId,
    provider: Provider,
    /// Whether the name of a peer looks like an option.
    has_options: bool,
    tolerances: &'a Tolerances,
    pub(crate) broken: Vec<String>,
}

impl<'a> Held<'a> {
    /// Watches what is said on the connection of `client`, which is made `now`.
    pub(crate) fn new(
        history: &History,
        client: ClientId,
        provider: Provider,
        tolerances: &'a Tolerances,
        now: u64,
    ) -> Self {
        let mut held = Held {
            // The others look into the machines of a whole host.
            promises: Promises::new(&plan(history), Provider::Manual),
            client,
            provider,
            has_options: history.record("-option").is_some(),
            tolerances,
            broken: Vec::new(),
        };
        let who = match provider {
            Provider::Product => Who::Core(1),
            Provider::Manual => Who::Manual,
        };
        held.see(now, Seen::Opened(client, who));
        held
    }

    /// The service sent a line.
    pub(crate) fn wrote(&mut self, now: u64, line: &str) {
        self.see(now, Seen::Wrote(self.client, line));
    }

    /// The service was sent a line.
    pub(crate) fn heard(&mut self, now: u64, line: &str) {
        self.see(now, Seen::Heard(self.client, line));
    }

    /// Everybody was told a line.
    pub(crate) fn told(&mut self, now: u64, line: &str) {
        self.see(now, Seen::Broadcast(line));
    }

    /// The partner of a peer is dead for so long.
    pub(crate) fn dead(&mut self, now: u64, peer: &str, lasts: u64) {
        let fault = Fault::Partner {
            peer: peer.to_owned(),
            time: Duration::from_nanos(lasts),
        };
        self.see(now, Seen::Fault(&fault));
    }

    /// The host falls asleep for so long. The service of the manual counts what these peers do not
    /// answer meanwhile, which is the difference `suspended-host`.
    pub(crate) fn sleeps(&mut self, now: u64, lasts: u64, present: &Present) {
        if self.provider == Provider::Manual {
            for peer in present.keys() {
                self.dead(now, peer, lasts);
            }
        }
        let time = Duration::from_nanos(lasts);
        self.see(now, Seen::Fault(&Fault::Suspend { time }));
    }

    /// The host has slept for so long.
    pub(crate) fn slept(&mut self, now: u64, lasted: u64) {
        self.see(now, Seen::Slept(Duration::from_nanos(lasted)));
    }

    fn see(&mut self, now: u64, seen: Seen<'_>) {
        let Err(broken) = self.promises.see(Instant(now), HOST, seen) else {
            return;
        };
        let excused = self
            .tolerances
            .excuses(broken.promise, self.provider, self.has_options);
        if !excused && self.broken.len() < TOLD {
            let (name, sentence) = (broken.promise.name(), broken.promise.sentence());
            let text = &broken.text;
            let told = format!("at {} it broke {name}, `{sentence}': {text}", broken.at);
            self.broken.push(told);
        }
    }
}

/// A plan of the same peers.
fn plan(history: &History) -> Plan {
    let records = history.records.iter().map(|record| RecordSite {
        peer: record.peer.clone(),
        pairs: record.pairs.clone(),
        partner: Partner::Reflected(u32::from(record.address)),
        scripts: ScriptHabits::default(),
    });
    let host = HostSite {
        records: records.collect(),
        users: history.users.clone(),
        auto: history.auto.clone(),
        startup: history.startup,
        keeps_state: false,
        journal: true,
        switches: Switching::Default,
        nat: None,
    };
    Plan {
        seed: history.seed,
        site: Site { hosts: vec![host] },
        faults: Vec::new(),
        quiet_from: Instant(history.until),
        until: Instant(history.until),
    }
}
