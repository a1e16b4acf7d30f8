// SPDX-License-Identifier: GPL-3.0-or-later
//! Which scripts belong to which lane.

use connect_ipc::scripts::ScriptKind;
use connect_ipc::setup::Lane;

/// The scripts of a lane: the one that makes a setup, and the one that undoes it.
#[must_use]
pub const fn scripts(lane: Lane) -> [ScriptKind; 2] {
    match lane {
        Lane::Interface => [ScriptKind::Ifup, ScriptKind::Ifdown],
        Lane::Connection => [ScriptKind::Connect, ScriptKind::Disconnect],
    }
}
