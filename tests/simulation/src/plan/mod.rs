// SPDX-License-Identifier: GPL-3.0-or-later
//! What a run is: a site, and a list of faults with their instants. It is made from a seed before
//! the run, can be written down, and is made smaller by leaving faults out.

mod build;
mod detail;
mod fault;
mod generate;
mod host;
mod names;
mod profile;
mod site;

use serde::{Deserialize, Serialize};

use crate::instant::Instant;

pub use fault::{
    DatabaseChange, Fault, Greeting, JournalLoss, Kept, Knock, Leaving, Naming, OperatorAct,
    OthersAct, PathChange, When,
};
pub use generate::Scale;
pub use host::{HostId, Part, Way};
pub use names::NAMES;
pub use profile::{CHANGED_FROM, GREETED_FROM, NEWER_FROM, Profile};
pub use site::{
    Habit, HostSite, Nat, OTHER_SITE, Partner, RecordSite, ScriptHabits, Site, Switching, Weighted,
    host_name, named_peer,
};

/// A run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Where its draws come from.
    pub seed: u64,
    /// What there is.
    pub site: Site,
    /// What happens to it, the earliest first.
    pub faults: Vec<Timed>,
    /// When the last fault ends: from then on everything has time to settle.
    pub quiet_from: Instant,
    /// When the run ends.
    pub until: Instant,
}

/// A fault and its time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timed {
    /// Not before this.
    pub at: Instant,
    /// At what; see [`When`].
    pub when: When,
    /// Where.
    pub host: HostId,
    /// What.
    pub fault: Fault,
}
