// SPDX-License-Identifier: GPL-3.0-or-later
//! What the server says: which peers were added and removed, in order, and which warnings the
//! service gave.
//!
//! ```text
//!   lab server --NOTE, WARN, LIST--> [watcher], a thread --> [account]
//!   lab server <--ADD, KILL-- [commander]
//! ```

pub(crate) mod account;
pub(crate) mod client;
pub(crate) mod commander;
pub(crate) mod watcher;
