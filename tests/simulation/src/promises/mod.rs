// SPDX-License-Identifier: GPL-3.0-or-later
//! Judges a run by the promises of the service, from outside: by the lines between servers and
//! services, by what is true in the world, and by what the machines show to everybody.
//!
//! ```text
//!   world --Seen--> [Promises] --by host--> [tap] --Fact--> rules, a promise each --> Broken
//! ```
//!
//! Some things only look like a broken promise. The rule excuses them, and its comment cites the
//! sentence of a page that allows them.

mod agree;
mod alive;
mod applying;
pub(crate) mod ask;
mod calm;
mod causes;
mod checks;
mod early;
mod effects;
mod events;
mod facts;
mod failures;
mod figures;
mod followed;
mod greetings;
mod helpers;
mod hooks;
mod in_use;
mod jobs;
mod late;
mod lines;
mod missed;
mod pairs;
mod pings;
mod records;
mod requests;
mod revived;
mod rows;
mod scripts;
mod settled;
mod sizes;
mod started;
mod tap;
#[cfg(test)]
pub(crate) mod testing;
mod told;
mod turns;
mod unwritten;
mod watched;

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::instant::Instant;
use crate::plan::{HostId, Plan};
use crate::promise::{Broken, Promise};
use crate::seen::{Seen, Watcher};
use crate::world::Provider;
use calm::Calm;
use in_use::InUse;
use records::Records;
use tap::{Fact, Tap};

/// What a rule says: how a promise is broken, if it is.
type Verdict = Result<(), (Promise, String)>;

/// One thing that was seen at a host, with what is known about it.
#[derive(Clone, Copy, Debug)]
struct Moment<'a> {
    at: Instant,
    seen: &'a Seen<'a>,
    /// What it means, if it was a line of the service or for it.
    fact: Option<&'a Fact>,
    tap: &'a Tap,
    calm: &'a Calm,
    in_use: &'a InUse,
    records: &'a Records,
}

impl Moment<'_> {
    /// What the records say by which peers are checked now.
    fn checking(&self) -> &Records {
        self.in_use.records(self.calm).unwrap_or(self.records)
    }
}

/// Judges what is seen at one host.
trait Rule: Debug {
    /// Takes in the next thing that was seen.
    fn see(&mut self, now: &Moment<'_>) -> Verdict;
}

/// All that is known of a host.
#[derive(Debug)]
struct Host {
    tap: Tap,
    calm: Calm,
    in_use: InUse,
    records: Records,
    rules: Vec<Box<dyn Rule>>,
}

impl Host {
    fn new(plan: &Plan, host: HostId, provider: Provider) -> Self {
        let mut rules: Vec<Box<dyn Rule>> = vec![
            Box::<pings::Pings>::default(),
            Box::<causes::Causes>::default(),
            Box::<checks::Checks>::default(),
            Box::<lines::Lines>::default(),
            Box::<alive::Alive>::default(),
        ];
        if provider == Provider::Product {
            rules.extend(product());
        }
        let mut records = Records::of(plan, host);
        // The service of the manual leaves nothing for the next.
        records.keeps_state &= provider == Provider::Product;
        Host {
            tap: Tap::default(),
            calm: Calm::default(),
            in_use: InUse::default(),
            records,
            rules,
        }
    }

    fn see(&mut self, at: Instant, seen: &Seen<'_>) -> Verdict {
        let fact = self.tap.see(at, seen);
        let quiet_from = self.records.quiet_from;
        self.calm.see(at, seen, fact.as_ref(), quiet_from);
        self.in_use.see(at, seen, &self.calm);
        let now = Moment {
            at,
            seen,
            fact: fact.as_ref(),
            tap: &self.tap,
            calm: &self.calm,
            in_use: &self.in_use,
            records: &self.records,
        };
        for rule in &mut self.rules {
            rule.see(&now)?;
        }
        Ok(())
    }
}

/// What is promised of the product alone.
fn product() -> [Box<dyn Rule>; 23] {
    [
        Box::<jobs::Jobs>::default(),
        Box::<requests::Requests>::default(),
        Box::<effects::Effects>::default(),
        Box::<watched::Watched>::default(),
        Box::<figures::Figures>::default(),
        Box::<scripts::Scripts>::default(),
        Box::<pairs::Pairs>::default(),
        Box::<hooks::Hooks>::default(),
        Box::<facts::Facts>::default(),
        Box::<late::Late>::default(),
        Box::<early::Early>::default(),
        Box::<rows::Rows>::default(),
        Box::<failures::Failures>::default(),
        Box::<events::Events>::default(),
        Box::<told::Told>::default(),
        Box::<turns::Turns>::default(),
        Box::<sizes::Sizes>::default(),
        Box::<helpers::Helpers>::default(),
        Box::<agree::Agree>::default(),
        Box::<settled::Settled>::default(),
        Box::<started::Started>::default(),
        Box::<followed::Followed>::default(),
        Box::<revived::Revived>::default(),
    ]
}

/// Watches a run and holds it against all promises.
#[derive(Debug)]
pub struct Promises {
    hosts: BTreeMap<HostId, Host>,
}

impl Promises {
    /// Those of the hosts of a plan, whose service is provided by this.
    #[must_use]
    pub fn new(plan: &Plan, provider: Provider) -> Self {
        let hosts = (0..).zip(&plan.site.hosts).map(|(number, _)| {
            let host = HostId(number);
            (host, Host::new(plan, host, provider))
        });
        Promises {
            hosts: hosts.collect(),
        }
    }
}

impl Watcher for Promises {
    fn see(&mut self, at: Instant, host: HostId, seen: Seen<'_>) -> Result<(), Broken> {
        let Some(known) = self.hosts.get_mut(&host) else {
            return Ok(());
        };
        known.see(at, &seen).map_err(|(promise, text)| Broken {
            promise,
            at,
            host,
            text,
        })
    }
}
