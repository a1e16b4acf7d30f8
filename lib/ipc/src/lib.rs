// SPDX-License-Identifier: GPL-3.0-or-later
//! Every message between the processes of the connect service, and its form as a line.
//!
//! One JSON object a line, at most [`frame::MAX_FRAME`] bytes long. The sockets that carry the
//! lines are in `connect_runtime`; nothing here does I/O. Each side opens with a [`hello::Hello`].
//! Unknown fields are ignored, unknown messages are answered with an error.
//! `docs/development/architecture.md`, "Messages", lists those between core and the helpers, and
//! `docs/reference/sockets.md` those of operators and observers.

pub mod changes;
pub mod clock;
pub mod connection_status;
pub mod control;
pub mod database;
pub mod event;
pub mod event_filter;
pub mod foreign;
pub mod frame;
pub mod hello;
pub mod knock;
pub mod lookup;
pub mod observers;
pub mod overdue;
mod pair;
pub mod pinger;
pub mod script_request;
pub mod scripts;
pub mod setup;
pub mod statistics;
pub mod words;
pub mod write_fault;

use serde::{Deserialize, Serialize};

/// The number of a peer that the server has, adopted or not. A peer that is removed and added again
/// gets another one, and so does a peer that core disowns. So no two adoptions have the same
/// number, and results of an earlier adoption are not counted for a later one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct PeerId(pub u64);

/// Identifies one run of one script, unique across restarts of core.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RunId(pub u64);
