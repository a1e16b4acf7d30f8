// SPDX-License-Identifier: GPL-3.0-or-later
//! The liveness helper of the connect service: when a peer is pinged.

pub mod machine;
pub mod run;
