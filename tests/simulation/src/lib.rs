// SPDX-License-Identifier: GPL-3.0-or-later
//! Whole sites in simulated time: hosts with a lab server, core, pinger, script helper and their
//! clients, under a seeded storm of faults, while promises are checked at every step.
//!
//! ```text
//!   seed --> [plan] --> [world]: hosts, network, faults --Seen--> [promises] --> Broken
//! ```
//!
//! The machines are the product's own. What is round them in the product, sockets, timers and
//! children, is played by the world, so that nothing depends on a clock or on the system.

pub mod chance;
pub mod coverage;
mod digest;
pub mod growth;
mod host;
pub mod instant;
pub mod narrative;
mod network;
pub mod plan;
pub mod promise;
pub mod promises;
mod queue;
pub mod recording;
pub mod seen;
pub mod shrink;
mod truth;
pub mod twin;
mod wire;
pub mod world;
