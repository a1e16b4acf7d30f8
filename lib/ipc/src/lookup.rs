// SPDX-License-Identifier: GPL-3.0-or-later
//! Lookups of host names, which core orders and the script helper makes (key `re-resolve`).
//!
//! A lookup is not noted in any journal: one that is lost is made again when the peer does not
//! answer the next time.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a lookup may take. The system's resolver gives up after 5 s for each try and server by
/// default; this is enough for two of them.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// How many lookups may be under way at once, over all peers.
pub const LOOKUPS: usize = 4;

/// How many addresses of one name are used. More are of no use, and the message stays short.
pub const MAX_ADDRESSES: usize = 32;

/// Which addresses of a host are used, as in the words of an address (tripe-admin(5)).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// `INET`: IPv4.
    Inet,
    /// `INET6`: IPv6.
    Inet6,
    /// `ANY`: both.
    Any,
}

impl Family {
    /// All families.
    const ALL: [Family; 3] = [Family::Inet, Family::Inet6, Family::Any];

    /// The family that this word names, in whatever case (tripe-admin(5)).
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|family| family.word().eq_ignore_ascii_case(word))
    }

    /// Whether an address is of this family.
    #[must_use]
    pub const fn admits(self, address: &IpAddr) -> bool {
        match self {
            Family::Inet => address.is_ipv4(),
            Family::Inet6 => address.is_ipv6(),
            Family::Any => true,
        }
    }

    /// The word for it, as in an address.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Family::Inet => "INET",
            Family::Inet6 => "INET6",
            Family::Any => "ANY",
        }
    }
}

/// An order to look up a host name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Lookup {
    /// Its number in the answer; no other lookup of the same core has it.
    pub number: u64,
    /// The name.
    pub host: String,
    /// Which of its addresses are used.
    pub family: Family,
}

/// The result of a lookup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct LookedUp {
    /// The number of the order.
    pub number: u64,
    /// What the system's resolver has found.
    pub found: Found,
}

/// What the system's resolver has found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// These addresses, at most [`MAX_ADDRESSES`], each once, in the order in which the system
    /// prefers them. Never empty.
    Addresses(Vec<IpAddr>),
    /// None, for this reason.
    Failed(String),
}

/// The lookups of a peer's host name, for operators.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct LookupStatus {
    /// The name.
    pub host: String,
    /// The last one; `None` if there was none since core started.
    pub last: Option<LastLookup>,
    /// Whether one waits or is under way.
    pub pending: bool,
    /// Seconds for which no other one may begin; 0 if one begins as soon as the peer does not
    /// answer.
    pub pause: u64,
}

/// The last lookup of a peer's host name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct LastLookup {
    /// Seconds since its end.
    pub ago: u64,
    /// The result.
    pub result: LookupResult,
}

/// How many lookups ended in which way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct LookupCounters {
    /// Those after which the peer was left where it was.
    pub kept: u64,
    /// Those after which it was added again at another address.
    pub moved: u64,
    /// Those that have failed.
    pub failed: u64,
}

impl LookupCounters {
    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == LookupCounters::default()
    }

    /// Counts one more.
    pub const fn count(&mut self, result: &LookupResult) {
        match result {
            LookupResult::Moved(_) => self.moved += 1,
            LookupResult::Failed(_) => self.failed += 1,
            LookupResult::Same
            | LookupResult::Waits(_)
            | LookupResult::Taken(_)
            | LookupResult::NotNeeded => self.kept += 1,
        }
    }
}

/// The result of a lookup for the peer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LookupResult {
    /// The peer's address is still among those of the name.
    Same,
    /// The peer was added again at this address, in the server's words.
    Moved(String),
    /// It will be added again at this address if it does not answer. That was not done at once,
    /// since it was added again at another address only a short time ago.
    Waits(String),
    /// Another peer has this address.
    Taken(String),
    /// In the meantime the peer has answered, or was removed.
    NotNeeded,
    /// The lookup has failed, for this reason.
    Failed(String),
}
