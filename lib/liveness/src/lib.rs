// SPDX-License-Identifier: GPL-3.0-or-later
//! The rules by which a peer is checked (the manual, "Operation"), without I/O.
//!
//! Core and the pinger each hold one [`Liveness`] for each adopted peer and give both the same
//! results. Core decides from its own copy what a result means, and acts on that. The pinger uses
//! its copy to know when the next ping is due. So nothing is lost if the pinger dies, and no rule
//! is written twice.

pub mod backoff;
mod catch_up;
mod early_check;
mod liveness;

pub use catch_up::CatchUp;
pub use early_check::EarlyCheck;
pub use liveness::{Judgement, Liveness, Meaning};
