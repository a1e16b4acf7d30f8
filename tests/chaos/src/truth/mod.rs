// SPDX-License-Identifier: GPL-3.0-or-later
//! What the server says: which peers were added and removed, in order, and which warnings the
//! service gave. And what the script helper and an operator know of scripts.
//!
//! ```text
//!   lab server --NOTE, WARN, LIST--> [watcher], a thread --> [account]
//!   lab server <--ADD, KILL-- [commander]
//!   service <--ifup, ifdown of a peer, once more-- [operator]
//!   script helper --starts of children, setups--> [journal], a thread
//! ```

pub(crate) mod account;
pub(crate) mod client;
pub(crate) mod commander;
pub(crate) mod journal;
pub(crate) mod operator;
pub(crate) mod watcher;
