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

/// The scripts of a peer that belong together: they run one after the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// `ifup` and `ifdown` (connect(8), "Configuring interfaces").
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

/// Something for each lane.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(bound = "T: Default + Serialize + schemars::JsonSchema")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ByLane<T> {
    /// For `ifup` and `ifdown`.
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
    /// The lane.
    pub lane: Lane,
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
