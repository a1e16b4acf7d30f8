// SPDX-License-Identifier: GPL-3.0-or-later
//! The names of hosts and of what is on them.

use serde::{Deserialize, Serialize};

/// One host of a site, by its place in [`Site::hosts`](super::Site::hosts).
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct HostId(pub u8);

/// A process of a host.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The lab server.
    Server,
    /// connect-core.
    Core,
    /// connect-pinger.
    Pinger,
    /// connect-ifscripts.
    Scripts,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 4] = [Part::Server, Part::Core, Part::Pinger, Part::Scripts];
}

/// A direction on an admin connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From a client to the server.
    ToServer,
    /// From the server to a client.
    ToClient,
}
