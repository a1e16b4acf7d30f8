// SPDX-License-Identifier: GPL-3.0-or-later
//! What scripts have set up for peers. The script helper keeps it from one core to the next. So an
//! `ifup` is not run twice, and its `ifdown` gets the same values, even if processes die in
//! between.
//!
//! The helper only keeps this for core and does not act on it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::RunId;
pub use crate::pair::{ByLane, ByPair, Lane, Pair};

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
    /// The pair of scripts whose setup it is.
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
    /// The runs that make it, in order, as long as it is not known that one of them was started.
    /// Empty if there is no script for that, or if one is known to have been started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunId>,
    /// Whether all of them ended without having been started, so that there is nothing to undo.
    #[serde(default)]
    pub never_started: bool,
}

impl Made {
    /// One of the runs that make it was started.
    pub fn run_started(&mut self) {
        self.runs.clear();
        self.never_started = false;
    }

    /// A run ended without having been started. If it was the last that might have made this,
    /// nothing was made.
    pub fn run_never_started(&mut self, run: RunId) {
        let before = self.runs.len();
        self.runs.retain(|known| *known != run);
        self.never_started |= before > 0 && self.runs.is_empty();
    }
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
    /// The number of its last change, in a list of setups; see [`SetupChange::number`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<RunId>,
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
