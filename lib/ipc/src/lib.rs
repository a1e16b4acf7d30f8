// SPDX-License-Identifier: GPL-3.0-or-later
//! Every message between the processes of the connect service, and its form as a line.
//!
//! One JSON object a line, at most [`frame::MAX_FRAME`] bytes long. The sockets that carry the
//! lines are in `connect_runtime`; nothing here does I/O. Each side opens with a [`hello::Hello`].
//! Unknown fields are ignored, unknown messages are answered with an error.
//! `docs/development/architecture.md` lists the messages in the order of a typical conversation.

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
mod pair;
pub mod pinger;
pub mod probing;
pub mod script_request;
pub mod scripts;
pub mod setup;
pub mod statistics;
pub mod words;
pub mod write_fault;

use serde::{Deserialize, Serialize};

/// Identifies one adoption of one peer. A peer that is removed and added again gets a new one, so
/// that results for the old one are not counted for the new one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct PeerId(pub u64);

/// Identifies one run of one script, unique across restarts of core.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RunId(pub u64);
