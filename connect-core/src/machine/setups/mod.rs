// SPDX-License-Identifier: GPL-3.0-or-later
//! What the scripts of each peer have made, and what must be made or undone: exactly once,
//! whichever process ends in between.
//!
//! ```text
//!   a peer is added, removed, listed --> [decision] --> [making] --> orders for the script helper
//!   setups that earlier cores had made --> [recovery] --^
//!   a peer answers, or does not any more --> [hooking] --> [making]
//! ```

mod decision;
mod hooking;
pub(super) mod making;
pub(super) mod progress;
mod recalling;
mod reconciling;
pub(super) mod recovery;
pub(super) mod remains;
mod unfinished;
pub(super) mod unnoted;
