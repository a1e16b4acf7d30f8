// SPDX-License-Identifier: GPL-3.0-or-later
//! What scripts have set up for peers. The script helper keeps it from one core to the next. So an
//! `ifup` is not run twice, and its `ifdown` gets the same values, even if processes die in
//! between.
//!
//! The helper only keeps this for core and does not act on it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::scripts::ScriptKind;

/// The scripts of a peer that run one after the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// `ifup` and `ifdown` (connect(8), "Configuring interfaces"), and the hooks, which run after
    /// the one and before the other.
    Interface,
    /// `connect` and `disconnect` (connect(8), "Dynamic connection").
    Connection,
}

impl Lane {
    /// Both.
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
    /// `on-up` and `on-down`: that it was told that the peer is connected.
    Hooks,
}

impl Pair {
    /// All of them.
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

/// One run of the server, identified by the file of its socket. A server creates that file when it
/// starts, in place of an old one, and nothing changes these three values while it runs: neither a
/// change of mode or owner, which only changes the inode's ctime, nor a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerRun {
    /// The device of the file system.
    pub device: u64,
    /// The file's inode.
    pub inode: u64,
    /// When the file was made: seconds and nanoseconds of the modification time. The inode alone is
    /// not enough, since some file systems use the same one again.
    pub made: (i64, i64),
}

/// Which setup.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetupKey {
    /// The peer.
    pub peer: String,
    /// Whose setup it is. Its name in messages and in the journal is older than hooks are.
    #[serde(rename = "lane")]
    pub pair: Pair,
}

/// The state of a setup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetupState {
    /// It was ordered to be made.
    Made(Arc<Made>),
    /// It was ordered to be undone.
    Undone {},
}

/// The values with which a setup was made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Made {
    /// The run of the server that had the peer, if that was certain.
    pub server: Option<ServerRun>,
    /// The peer's interface; empty if it was not known.
    pub interface: String,
    /// Its address in words, quoted as one line; empty if it was not known.
    pub address: String,
    /// What the server had answered to `ALGS`.
    pub algorithms: Vec<(String, String)>,
    /// The keys and values of its record.
    pub record: Vec<(String, String)>,
    /// The run that makes it; `None` if there is no script for that, or if it is known to have been
    /// started.
    pub run: Option<RunId>,
    /// Whether that run ended without having been started, so that there is nothing to undo.
    #[serde(default)]
    pub never_started: bool,
}

/// One setup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setup {
    /// Which.
    #[serde(flatten)]
    pub key: SetupKey,
    /// Its state.
    pub state: SetupState,
}

/// A change of a setup that comes without a script.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetupChange {
    /// Its number, from the numbers of runs: of two changes of a setup, the one with the greater
    /// number is the later.
    pub number: RunId,
    /// The new setup.
    pub setup: Setup,
}

/// Setups in the order of their keys, as many as fit into a message.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetupPage {
    /// The setups.
    pub setups: Vec<Setup>,
    /// Whether there are more.
    pub more: bool,
}
