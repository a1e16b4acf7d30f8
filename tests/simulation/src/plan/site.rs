// SPDX-License-Identifier: GPL-3.0-or-later
//! What there is: hosts, the records of their databases, the partners and what their scripts do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host::HostId;

/// All hosts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Site {
    /// The hosts; a [`HostId`] is a place in it.
    pub hosts: Vec<HostSite>,
}

/// One host.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostSite {
    /// Its records.
    pub records: Vec<RecordSite>,
    /// Users, and the peers that they are.
    pub users: Vec<(String, String)>,
    /// The peers that are added at start-up.
    pub auto: Vec<String>,
    /// Whether core is started with `--startup`.
    pub startup: bool,
    /// Whether core has a state directory.
    pub keeps_state: bool,
    /// Whether the script helper has a journal.
    pub journal: bool,
    /// The setting of the lab's switches.
    pub switches: Switching,
    /// What translates its address, if something does.
    pub nat: Option<Nat>,
}

/// Sets of the lab's switches.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switching {
    /// The default of each.
    #[default]
    Default,
    /// The second value of each.
    Flipped,
    /// The third value of each that has one, and the default of the others.
    FlippedAgain,
}

/// A translation of addresses.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Nat {
    /// The first outer port; each change takes the next.
    pub first_port: u16,
}

/// One record of a database, and who is at the other end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordSite {
    /// The peer's name.
    pub peer: String,
    /// Keys and values.
    pub pairs: Vec<(String, String)>,
    /// The other end.
    pub partner: Partner,
    /// What its scripts do.
    pub scripts: ScriptHabits,
}

impl RecordSite {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        let (_, value) = pairs.find(|(known, _)| known == key)?;
        Some(value)
    }

    /// Whether its partner makes the connection.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.get("peer") == Some("PASSIVE")
    }

    /// Whether it gives the address by a host name that is looked up again.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.get(connect_policy::resolving::KEY).is_some()
    }
}

/// The host name in the record of a peer.
#[must_use]
pub fn host_name(peer: &str) -> String {
    format!("{peer}{DOMAIN}")
}

/// The peer whose record has this host name.
#[must_use]
pub fn named_peer(host: &str) -> Option<&str> {
    host.strip_suffix(DOMAIN)
}

/// What all host names end with.
const DOMAIN: &str = ".example";

/// The records of another site, one of which has the name of a peer of ours.
pub const OTHER_SITE: [(&str, &[(&str, &str)]); 2] = [
    ("p0", &OTHER_RECORD),
    (
        "elsewhere",
        &[("peer", "INET 198.18.35.141 4070"), ("watch", "t")],
    ),
];

const OTHER_RECORD: [(&str, &str); 3] = [("peer", "PASSIVE"), ("watch", "t"), ("ifup", "other-up")];

/// Who is at the other end of a tunnel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partner {
    /// Another host of the site.
    Host(HostId),
    /// The lab itself, at the address with this number in its network.
    Reflected(u32),
}

/// What the scripts of a peer do, each time one of the list. Those of an empty list succeed at
/// once.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ScriptHabits {
    /// `ifup`.
    pub ifup: Vec<Weighted>,
    /// `ifdown`.
    pub ifdown: Vec<Weighted>,
    /// `connect`.
    pub connect: Vec<Weighted>,
    /// `disconnect`.
    pub disconnect: Vec<Weighted>,
    /// `on-up`.
    pub on_up: Vec<Weighted>,
    /// `on-down`.
    pub on_down: Vec<Weighted>,
}

/// A habit, and how often it is chosen compared with the others of its list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Weighted {
    /// How often.
    pub weight: u32,
    /// Which.
    pub habit: Habit,
}

/// What a script does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Habit {
    /// It ends at once with this status.
    Quick(i32),
    /// It ends with a status after this time.
    Slow(Duration, i32),
    /// This signal ends it.
    Signal(i32),
    /// It stays until it gets `TERM`.
    Hangs,
    /// It stays until it gets `KILL`.
    Deaf,
    /// It stays until it gets `TERM`, as a `connect` does that keeps a connection to the partner.
    Stays,
    /// It writes so many lines and ends well.
    Floods(u32),
    /// It closes its output, and ends well a second later.
    ClosesOutput,
    /// It ends well, and leaves a process behind that writes a line after this time and ends.
    LeavesGrandchild(Duration),
    /// It cannot be started, for this reason.
    NotStarted(String),
    /// A `connect`: it asks the partner to be connected, writes the challenge that it gets after
    /// this time, and stays.
    Greets(Duration),
    /// A `connect`: it writes a line that is no challenge, and stays.
    Babbles,
}
