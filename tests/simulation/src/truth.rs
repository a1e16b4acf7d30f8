// SPDX-License-Identifier: GPL-3.0-or-later
//! What is true at a host, whatever anybody there believes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use connect_ipc::RunId;
use peerdb::Database;

use crate::instant::Instant;
use crate::plan::Part;

/// The truth about one host.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// The database of the site.
    pub site: Arc<Database>,
    /// What its file has now; nothing if it cannot be read.
    pub file: Option<Arc<Database>>,
    /// The peers that the server has.
    pub present: BTreeSet<String>,
    /// Those that have said goodbye since an operator last added what was missing.
    pub left: BTreeSet<String>,
    /// The reflected partners that are dead.
    pub dead: BTreeSet<String>,
    /// Where the partners are that are reached by host names.
    pub places: BTreeMap<String, SocketAddr>,
    /// Until when each process is suspended.
    pub stands: BTreeMap<Part, Instant>,
    /// The runs whose children live.
    pub children: BTreeSet<RunId>,
    /// How often the host was booted.
    pub boots: u32,
    /// How often its server was started.
    pub server_runs: u64,
}
