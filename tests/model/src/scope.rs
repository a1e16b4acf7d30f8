// SPDX-License-Identifier: GPL-3.0-or-later
//! What a world is about: which scripts its peer has, and how much happens in it.

use std::str::FromStr;

use connect_ipc::setup::Pair;

/// Which scripts the peer has, and whether an operator runs some.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// `ifup` and `ifdown`.
    Interface,
    /// `connect` and `disconnect`.
    Connection,
    /// All four.
    Both,
    /// `ifup` and `ifdown`, and an operator runs one of them once more.
    Operator,
    /// `ifup`, `ifdown` and the hooks of a peer that is there at the beginning, and is pinged.
    Hooks,
}

impl Scope {
    /// All of them, with their names.
    const NAMES: [(&str, Scope); 5] = [
        ("interface", Scope::Interface),
        ("connection", Scope::Connection),
        ("both", Scope::Both),
        ("operator", Scope::Operator),
        ("hooks", Scope::Hooks),
    ];

    /// The pairs of scripts that the peer has.
    pub(crate) fn pairs(self) -> Vec<Pair> {
        match self {
            Scope::Interface | Scope::Operator => vec![Pair::Interface],
            Scope::Connection => vec![Pair::Connection],
            Scope::Both => Pair::OF_PRESENCE.to_vec(),
            Scope::Hooks => vec![Pair::Interface, Pair::Hooks],
        }
    }

    /// Whether the peer is pinged.
    pub(crate) const fn pings(self) -> bool {
        matches!(self, Scope::Hooks)
    }

    /// How often an operator runs a script.
    const fn requests(self) -> u32 {
        match self {
            Scope::Operator => 1,
            Scope::Interface | Scope::Connection | Scope::Both | Scope::Hooks => 0,
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut names = Self::NAMES.into_iter();
        let found = names.find(|(name, _)| *name == word);
        found
            .map(|(_, scope)| scope)
            .ok_or_else(|| format!("no scope: {word}"))
    }
}

/// How much may still happen, and which kind of world it is from its start.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Which scripts there are.
    pub scope: Scope,
    /// How often the peer comes or goes, answers or does not, or the server restarts.
    pub events: u32,
    /// How often an operator runs a script.
    pub requests: u32,
    /// How often core or the script helper is killed.
    pub deaths: u32,
    /// Whether the server may restart.
    pub restarts: bool,
    /// Whether core is started with `--startup`.
    pub startup: bool,
    /// How often core writes its state.
    pub saves: u32,
}

impl Limits {
    /// So much may happen in a world of this kind.
    #[must_use]
    pub const fn new(scope: Scope, [events, deaths, saves]: [u32; 3], restarts: bool) -> Self {
        Limits {
            scope,
            events,
            requests: scope.requests(),
            deaths,
            restarts,
            startup: true,
            saves,
        }
    }
}
