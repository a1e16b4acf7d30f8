// SPDX-License-Identifier: GPL-3.0-or-later
//! What a peer's record means to the connect service: how the peer is added, how it is pinged, and
//! which scripts are run for it.
//!
//! There is no I/O here and nothing is remembered, so core, which does these things, and the
//! operators' tool, which explains them, cannot differ.

pub mod adding;
pub mod environment;
pub mod pinging;
pub mod scripts;
