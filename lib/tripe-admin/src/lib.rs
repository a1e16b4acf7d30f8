// SPDX-License-Identifier: GPL-3.0-or-later
//! The administration protocol of the tripe(8) server, both directions.
//!
//! The protocol is lines of words on a Unix stream socket. This crate knows the words and their
//! quoting ([`token`]), the lines and their framing ([`mod@line`]), what the server's lines mean
//! ([`message`], [`note`]), the bookkeeping of one connection without any I/O ([`session`]), and a
//! ready client for tokio on top ([`client`]). It knows nothing of the connect service and is of
//! use to anyone who writes for TrIPE.

pub mod address;
pub mod bytes;
pub mod challenge;
pub mod client;
pub mod interval;
pub mod line;
pub mod message;
pub mod note;
pub mod session;
mod tag;
pub mod token;
pub mod version;

pub use address::Address;
pub use interval::Interval;
pub use message::Failure;
pub use note::Note;
pub use tag::Tag;
pub use token::{Words, split};
