// SPDX-License-Identifier: GPL-3.0-or-later
//! What a peer's record means to the connect service, and what can be wrong with it.
//!
//! - [`keys`] is the table of the keys that some program reads; a new option of `ADD` is one line
//!   there.
//! - [`adding`], [`pinging`], [`resolving`], [`scripts`], [`hooks`] and [`environment`] say what
//!   the service makes of a record.
//! - [`size`] says whether a record fits into a message.
//! - [`check`] finds what is wrong, by the same table and the same rules.
//!
//! There is no I/O here and nothing is remembered, so core, which does these things, and the
//! operators' tool, which explains them, cannot differ.

pub mod adding;
pub mod changes;
pub mod check;
pub mod environment;
pub mod hooks;
pub mod keys;
pub mod pinging;
pub mod resolving;
pub mod scripts;
pub mod size;

mod value;

pub use value::{Expected, ValueError};
