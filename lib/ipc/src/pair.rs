// SPDX-License-Identifier: GPL-3.0-or-later
//! The kinds of scripts, the pairs of which one undoes what the other makes, and the lanes in which
//! they run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which script it is (connect(8), "CHILD PROCESSES").
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// Sets up the peer's interface.
    Ifup,
    /// Takes it down.
    Ifdown,
    /// Makes a dynamic connection.
    Connect,
    /// Ends one.
    Disconnect,
    /// The hook for a peer that has come to be connected.
    OnUp,
    /// The hook for one that was, and is not any more.
    OnDown,
}

impl ScriptKind {
    /// All kinds.
    pub const ALL: [ScriptKind; 6] = [
        ScriptKind::Ifup,
        ScriptKind::Ifdown,
        ScriptKind::Connect,
        ScriptKind::Disconnect,
        ScriptKind::OnUp,
        ScriptKind::OnDown,
    ];

    /// The first word of the child process identifier.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ScriptKind::Ifup => "ifup",
            ScriptKind::Ifdown => "ifdown",
            ScriptKind::Connect => "connect",
            ScriptKind::Disconnect => "disconnect",
            ScriptKind::OnUp => "on-up",
            ScriptKind::OnDown => "on-down",
        }
    }

    /// The script that undoes what `self` makes; `None` if `self` makes nothing. After the script
    /// `self` has succeeded, an earlier failure of the other one does not matter any more.
    #[must_use]
    pub fn undone_by(self) -> Option<ScriptKind> {
        let [maker, undoer] = self.pair().scripts();
        (self == maker).then_some(undoer)
    }

    /// The pair that it belongs to.
    #[must_use]
    pub const fn pair(self) -> Pair {
        match self {
            ScriptKind::Ifup | ScriptKind::Ifdown => Pair::Interface,
            ScriptKind::Connect | ScriptKind::Disconnect => Pair::Connection,
            ScriptKind::OnUp | ScriptKind::OnDown => Pair::Hooks,
        }
    }

    /// The lane that it runs in.
    #[must_use]
    pub const fn lane(self) -> Lane {
        self.pair().lane()
    }
}

/// The scripts of a peer that run one after the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// `ifup` and `ifdown` (connect(8), "INTERFACES"), and the hooks, which run after
    /// the one and before the other.
    Interface,
    /// `connect` and `disconnect` (connect(8), "DYNAMIC CONNECTIONS").
    Connection,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Interface, Lane::Connection];

    /// Its scripts, for messages.
    #[must_use]
    pub const fn scripts(self) -> &'static str {
        match self {
            Lane::Interface => "ifup and ifdown",
            Lane::Connection => "connect and disconnect",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Interface => "interface",
            Lane::Connection => "connection",
        })
    }
}

/// Two scripts of which one undoes what the other makes: a setup.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pair {
    /// `ifup` and `ifdown`: the interface.
    Interface,
    /// `connect` and `disconnect`: the connection.
    Connection,
    /// `on-up` and `on-down`: the service has reported the peer as connected.
    Hooks,
}

impl Pair {
    /// All pairs.
    pub const ALL: [Pair; 3] = [Pair::Interface, Pair::Connection, Pair::Hooks];

    /// Those whose setups are made as soon as the server has the peer.
    pub const OF_PRESENCE: [Pair; 2] = [Pair::Interface, Pair::Connection];

    /// The script that makes the setup, and the one that undoes it.
    #[must_use]
    pub const fn scripts(self) -> [ScriptKind; 2] {
        match self {
            Pair::Interface => [ScriptKind::Ifup, ScriptKind::Ifdown],
            Pair::Connection => [ScriptKind::Connect, ScriptKind::Disconnect],
            Pair::Hooks => [ScriptKind::OnUp, ScriptKind::OnDown],
        }
    }

    /// The lane in which its scripts run.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Pair::Interface | Pair::Hooks => Lane::Interface,
            Pair::Connection => Lane::Connection,
        }
    }
}

/// Something for each pair.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByPair<T> {
    /// For the interface and the connection.
    pub of_presence: ByLane<T>,
    /// For the hooks.
    pub hooks: T,
}

impl<T> ByPair<T> {
    /// What `each` gives for the pairs.
    pub fn of(mut each: impl FnMut(Pair) -> T) -> Self {
        ByPair {
            of_presence: ByLane {
                interface: each(Pair::Interface),
                connection: each(Pair::Connection),
            },
            hooks: each(Pair::Hooks),
        }
    }

    /// What there is for this pair.
    #[must_use]
    pub const fn get(&self, pair: Pair) -> &T {
        match pair {
            Pair::Interface => &self.of_presence.interface,
            Pair::Connection => &self.of_presence.connection,
            Pair::Hooks => &self.hooks,
        }
    }

    /// What there is for this pair, to be changed.
    #[must_use]
    pub const fn get_mut(&mut self, pair: Pair) -> &mut T {
        match pair {
            Pair::Interface => &mut self.of_presence.interface,
            Pair::Connection => &mut self.of_presence.connection,
            Pair::Hooks => &mut self.hooks,
        }
    }
}

/// Something for each lane.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(bound = "T: Default + Serialize + schemars::JsonSchema")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ByLane<T> {
    /// For `ifup`, `ifdown` and the hooks.
    pub interface: T,
    /// For `connect` and `disconnect`.
    pub connection: T,
}

impl<T> ByLane<T> {
    /// What `each` gives for the lanes.
    pub fn of(mut each: impl FnMut(Lane) -> T) -> Self {
        ByLane {
            interface: each(Lane::Interface),
            connection: each(Lane::Connection),
        }
    }

    /// What there is for this lane.
    #[must_use]
    pub const fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::Interface => &self.interface,
            Lane::Connection => &self.connection,
        }
    }

    /// What there is for this lane, to be changed.
    #[must_use]
    pub const fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Interface => &mut self.interface,
            Lane::Connection => &mut self.connection,
        }
    }
}
